// SPDX-License-Identifier: Apache-2.0

package daemonproc

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/rdsproxy/rdsproxy/test/certs"
)

// Map is a piece of configuration: setting names to values.
type Map = map[string]any

// Options describe a daemon with one endpoint and one target group. Settings go
// over the defaults of this package.
type Options struct {
	// Writer is the address of the database.
	Writer string
	// Users may log in.
	Users []User
	// Certificate, if set, is written to files and shown to clients.
	Certificate *certs.Pair
	// Endpoint, Group and Top are settings of the endpoint, of the target group
	// and of the top level.
	Endpoint, Group, Top Map
	// Env are environment variables, as "NAME=value".
	Env []string
	// Binary is the daemon to run; "" means one built from this checkout.
	Binary string
	// FailureIsExpected switches off the check that the daemon ended in order.
	FailureIsExpected bool
}

// User is somebody who may log in.
type User struct {
	Name, Password string
	// Settings are further settings of the user's entry.
	Settings Map
}

// layout is where one daemon listens and keeps its files.
type layout struct {
	dir    string
	listen string
	admin  string
}

func (l layout) configFile() string { return filepath.Join(l.dir, "rdsproxy.yaml") }

// write stores the secrets, the certificate and the configuration.
func (l layout) write(o Options) error {
	var auth []any
	for i, u := range o.Users {
		name := fmt.Sprintf("secret-%d.json", i)
		text, err := json.Marshal(map[string]string{"username": u.Name, "password": u.Password})
		if err != nil {
			return fmt.Errorf("secret: %w", err)
		}
		if err := replaceFile(filepath.Join(l.dir, name), text); err != nil {
			return err
		}
		auth = append(auth, merged(Map{"user": u.Name, "secret": name}, u.Settings))
	}
	endpoint := Map{"listen": l.listen}
	if o.Certificate != nil {
		certFile, keyFile, err := o.Certificate.Write(l.dir, "server")
		if err != nil {
			return err
		}
		endpoint["tls"] = Map{"cert_file": certFile, "key_file": keyFile}
	}
	text, err := yaml.Marshal(merged(Map{
		"endpoints":     []any{merged(endpoint, o.Endpoint)},
		"target_groups": []any{merged(Map{"writer": o.Writer, "connection_borrow_timeout": "20s"}, o.Group)},
		"auth":          auth,
		"admin":         Map{"listen": l.admin},
		"drain_timeout": "5s",
		"log":           Map{"level": "debug"},
	}, o.Top))
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return replaceFile(l.configFile(), text)
}

func merged(base, over Map) Map {
	maps.Copy(base, over)
	return base
}

// replaceFile writes by rename, so that the daemon never reads half a file.
func replaceFile(file string, text []byte) error {
	tmp := file + ".new"
	if err := os.WriteFile(tmp, text, 0o600); err != nil {
		return fmt.Errorf("daemon's file: %w", err)
	}
	if err := os.Rename(tmp, file); err != nil {
		return fmt.Errorf("daemon's file: %w", err)
	}
	return nil
}
