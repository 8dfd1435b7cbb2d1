// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"
)

// Stage names a version of a secret, as rotation in AWS Secrets Manager labels them.
type Stage string

// The stages of a rotation: the new password is pending until the database has it, then current, and the one before it
// previous.
const (
	Current  Stage = "AWSCURRENT"
	Pending  Stage = "AWSPENDING"
	Previous Stage = "AWSPREVIOUS"
)

// Source is where a Cache fetches secrets. Its methods may be called from any goroutine.
type Source interface {
	// Fetch asks for one version of a secret. Errors are as those of Store.Get, but do not name the secret.
	Fetch(ctx context.Context, id string, stage Stage) (Credential, error)
}

// NamePrefix marks the id of a secret that is given by its name. One that is given by its ARN needs no mark.
const NamePrefix = "secretsmanager:"

// InSecretsManager says whether an id is of AWS Secrets Manager: an ARN, or a name behind NamePrefix.
func InSecretsManager(id string) bool {
	return strings.HasPrefix(id, "arn:") || strings.HasPrefix(id, NamePrefix)
}

// SecretsManagerOptions set up SecretsManager. The zero SecretsManagerOptions work where the environment has region and
// credentials.
type SecretsManagerOptions struct {
	// Region takes the place of the environment's. A secret that is given by its ARN is asked for in the region of the ARN.
	Region string
	// Endpoint takes the place of the public one: the URL of a VPC endpoint.
	Endpoint string
	// Credentials take the place of the default chain's.
	Credentials aws.CredentialsProvider
	// HTTPClient takes the place of the SDK's.
	HTTPClient *http.Client
}

// SecretsManager is AWS Secrets Manager as a Source.
type SecretsManager struct{ client *secretsmanager.Client }

var _ Source = (*SecretsManager)(nil)

// NewSecretsManager makes a source with the default credential chain: environment, shared files, web identity, container, and
// instance. Credentials are looked for when the first secret is fetched.
func NewSecretsManager(ctx context.Context, o SecretsManagerOptions) (*SecretsManager, error) {
	if o.Endpoint != "" {
		if u, err := url.Parse(o.Endpoint); err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http") {
			return nil, errors.New("the endpoint of AWS Secrets Manager is not a URL")
		}
	}
	load := []func(*config.LoadOptions) error{}
	if o.Region != "" {
		load = append(load, config.WithRegion(o.Region))
	}
	if o.Credentials != nil {
		load = append(load, config.WithCredentialsProvider(o.Credentials))
	}
	if o.HTTPClient != nil {
		load = append(load, config.WithHTTPClient(o.HTTPClient))
	}
	c, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("settings of AWS: %w", err)
	}
	return &SecretsManager{secretsmanager.NewFromConfig(c, func(so *secretsmanager.Options) {
		// Cache tries again, and spaces its tries.
		so.RetryMaxAttempts = 1
		if o.Endpoint != "" {
			so.BaseEndpoint = aws.String(o.Endpoint)
		}
	})}, nil
}

// Fetch implements Source.
func (s *SecretsManager) Fetch(ctx context.Context, id string, stage Stage) (Credential, error) {
	if !InSecretsManager(id) {
		return Credential{}, fmt.Errorf("%w: neither an ARN nor %sNAME", ErrUnsupported, NamePrefix)
	}
	var region func(*secretsmanager.Options)
	name := strings.TrimPrefix(id, NamePrefix)
	if strings.HasPrefix(name, "arn:") {
		a, err := arn.Parse(name)
		if err != nil || a.Service != "secretsmanager" || a.Region == "" {
			return Credential{}, fmt.Errorf("%w: not the ARN of a secret", ErrUnsupported)
		}
		region = func(o *secretsmanager.Options) { o.Region = a.Region }
	} else {
		region = func(*secretsmanager.Options) {}
	}
	out, err := s.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{
		SecretId: aws.String(name), VersionStage: aws.String(string(stage)),
	}, region)
	if err != nil {
		return Credential{}, awsProblem(ctx, err)
	}
	if out.SecretString != nil {
		return Decode([]byte(*out.SecretString))
	}
	return Decode(out.SecretBinary)
}

// maxProblem bounds what is told of an error, in bytes.
const maxProblem = 400

// awsProblem tells errors of the SDK apart, without their text where it could quote an answer.
func awsProblem(ctx context.Context, err error) error {
	if missing := (*types.ResourceNotFoundException)(nil); errors.As(err, &missing) {
		return fmt.Errorf("%w in AWS Secrets Manager", ErrNotFound)
	}
	if bad := (*smithy.DeserializationError)(nil); errors.As(err, &bad) {
		return errors.New("the answer of AWS Secrets Manager is not understood")
	}
	if api := smithy.APIError(nil); errors.As(err, &api) {
		return fmt.Errorf("AWS Secrets Manager answers %s: %s", bounded(api.ErrorCode()), bounded(api.ErrorMessage()))
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("AWS Secrets Manager does not answer: %w", cause)
	}
	return fmt.Errorf("AWS Secrets Manager cannot be asked: %s", bounded(err.Error()))
}

func bounded(text string) string {
	if len(text) > maxProblem {
		text = text[:maxProblem] + "..."
	}
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "?")
	}
	return text
}
