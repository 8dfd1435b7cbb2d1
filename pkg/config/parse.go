// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// MaxFileSize bounds a configuration file, in bytes.
const MaxFileSize = 1 << 20

// Options says where a configuration is read from. The zero Options read nothing.
type Options struct {
	// File is the path of the YAML file; empty means none.
	File string
	// Text, when not nil, is read in place of the file. File then only names it in messages and gives the folder for
	// relative paths.
	Text []byte
	// Environ is what os.Environ returns.
	Environ []string
	// Flags is a parsed set that AddFlags has added to, or nil.
	Flags *pflag.FlagSet
}

// Parse reads a configuration and checks it. It looks at no file but the one named by Options.File: whether certificates and
// secrets are there is for the caller to find out. An error is always an *Error.
func Parse(o Options) (*Config, error) {
	c := newCollector()
	layers := viper.New()
	root.leaves(func(n *node) {
		if n.def != "" {
			layers.SetDefault(n.path, n.fallback())
		}
	})
	if err := layers.MergeConfigMap(c.file(o)); err != nil {
		c.addAt(o.File, "", err.Error(), "mend the file")
	}
	for _, s := range c.environment(o.Environ) {
		layers.Set(s.path, s.value)
	}
	if o.Flags != nil {
		for _, s := range c.flags(o.Flags) {
			layers.Set(s.path, s.value)
		}
	}
	cfg := &Config{}
	if err := layers.Unmarshal(cfg, strictly); err != nil {
		c.addAt(o.File, "", err.Error(), "mend the configuration")
		return nil, c.err()
	}
	c.derive(cfg)
	c.resolve(cfg, o.File)
	c.validate(cfg)
	if err := c.err(); err != nil {
		return nil, err
	}
	return cfg, nil
}

// strictly is a second net under the reader, which has checked names and types already.
func strictly(d *mapstructure.DecoderConfig) {
	d.TagName = "config"
	d.ErrorUnused = true
	d.WeaklyTypedInput = false
	d.DecodeHook = nil
	d.MatchName = func(key, name string) bool { return key == name }
}

// file reads the first layer.
func (c *collector) file(o Options) map[string]any {
	text := o.Text
	name := o.File
	switch {
	case text == nil && o.File == "":
		return nil
	case text == nil:
		var err error
		if text, err = readFile(o.File); err != nil {
			c.addAt(o.File, "", err.Error(), "name a readable file with --config")
			c.excuse("")
			return nil
		}
	case name == "":
		name = "configuration"
	}
	r := &reader{collector: c, name: name, lines: true}
	top := r.document(text)
	if top == nil {
		return nil
	}
	return r.section(top, root, "")
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	if err != nil {
		return nil, cause(err)
	}
	if len(text) > MaxFileSize {
		return nil, fmt.Errorf("is larger than %d bytes", MaxFileSize)
	}
	return text, nil
}

// cause takes the path off an error of the file system, which the message names already.
func cause(err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return fmt.Errorf("cannot be read: %w", pe.Err)
	}
	return err
}

// derive fills in the defaults that depend on other settings.
func (c *collector) derive(cfg *Config) {
	if len(cfg.Endpoints) == 0 && !c.isBad("endpoints") {
		var e struct {
			Endpoints []Endpoint `config:"endpoints"`
		}
		list := []any{withDefaults(map[string]any{}, root.child("endpoints"))}
		if err := decodeStrictly(map[string]any{"endpoints": list}, &e); err == nil {
			cfg.Endpoints = e.Endpoints
		}
	}
	for i := range cfg.Endpoints {
		e := &cfg.Endpoints[i]
		if e.TargetGroup == "" && len(cfg.TargetGroups) == 1 {
			e.TargetGroup = cfg.TargetGroups[0].Name
		}
	}
	for i := range cfg.TargetGroups {
		g := &cfg.TargetGroups[i]
		path := fmt.Sprintf("target_groups[%d]", i)
		if !c.given(path + ".max_idle_connections_percent") {
			g.MaxIdleConnectionsPercent = g.MaxConnectionsPercent / 2
		}
		c.deriveMembers(g, cfg.Auth)
		if g.TLS.Mode == "" {
			switch {
			case g.DefaultAuthScheme == SchemeIAM:
				g.TLS.Mode = TLSVerifyFull
			case cfg.RequireTLS:
				g.TLS.Mode = TLSRequire
			default:
				g.TLS.Mode = TLSPrefer
			}
		}
	}
	if cfg.Admin.Listen == adminOff {
		cfg.Admin.Listen = ""
	}
}

// adminOff is the word for an empty admin.listen, which the environment cannot say otherwise.
const adminOff = "off"

func decodeStrictly(from, to any) error {
	d := &mapstructure.DecoderConfig{Result: to}
	strictly(d)
	dec, err := mapstructure.NewDecoder(d)
	if err != nil {
		return err
	}
	return dec.Decode(from)
}

// resolve makes relative paths absolute: certificates against the folder of the file, secrets against secrets_dir.
func (c *collector) resolve(cfg *Config, file string) {
	folder := ""
	if file != "" {
		folder = filepath.Dir(file)
	}
	base, err := filepath.Abs(folder)
	if err != nil {
		c.addAt(file, "", "the working folder is unknown", "start the daemon in a folder that exists")
		return
	}
	within := func(folder, path string) string {
		if path == "" || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(folder, path)
	}
	for i := range cfg.Endpoints {
		t := &cfg.Endpoints[i].TLS
		t.CertFile, t.KeyFile = within(base, t.CertFile), within(base, t.KeyFile)
	}
	for i := range cfg.TargetGroups {
		t := &cfg.TargetGroups[i].TLS
		t.CAFile = within(base, t.CAFile)
	}
	if cfg.SecretsDir == "" {
		cfg.SecretsDir = base
	}
	cfg.SecretsDir = within(base, cfg.SecretsDir)
	secret := func(name *string, path string) {
		if *name = c.secretPath(*name, path); !inSecretsManager(*name) {
			*name = within(cfg.SecretsDir, *name)
		}
	}
	for i := range cfg.Auth {
		secret(&cfg.Auth[i].Secret, fmt.Sprintf("auth[%d].secret", i))
	}
	for i := range cfg.IAM.OwnKeys {
		k := &cfg.IAM.OwnKeys[i]
		secret(&k.Secret, fmt.Sprintf("iam.own_keys[%d].secret", i))
		k.PolicyFile = within(base, k.PolicyFile)
	}
	for i := range cfg.IAM.WebIdentity {
		w := &cfg.IAM.WebIdentity[i]
		w.CAFile, w.BearerFile = within(base, w.CAFile), within(base, w.BearerFile)
	}
}
