// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"context"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/rdsproxy/rdsproxy/pkg/config"
	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

// NewSecrets makes the store that a configuration's secrets are read from. Nothing
// is asked yet; changes are followed while the store runs.
func NewSecrets(ctx context.Context, cfg *config.Config, log *zap.Logger) (*secret.Stores, error) {
	c := cfg.SecretsManager
	source, err := secret.NewSecretsManager(ctx, secret.SecretsManagerOptions{Region: c.Region, Endpoint: c.Endpoint})
	if err != nil && slices.ContainsFunc(wantedOf(cfg).secrets(), secret.InSecretsManager) {
		return nil, fmt.Errorf("secrets_manager: %w", err)
	}
	if err != nil {
		log.Warn("AWS Secrets Manager cannot be used before a restart.", zap.Error(err))
		return secret.NewStores(secret.NewFileStore(secret.FileOptions{Log: log}), nil), nil
	}
	manager := secret.NewCache(source, secret.CacheOptions{RefreshInterval: c.RefreshInterval, MaxAge: c.MaxAge, Log: log})
	return secret.NewStores(secret.NewFileStore(secret.FileOptions{Log: log}), manager), nil
}
