// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// root is the folder of the checkout.
const root = "../.."

var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "rdsproxy-deploy-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "rdsproxy")
		build := exec.Command("go", "build", "-o", binary, "./cmd/rdsproxy")
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "the daemon does not build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// machine is a folder that plays the file system of a container or a host.
type machine string

func newMachine(t *testing.T) machine { return machine(t.TempDir()) }

// write stores a file under its absolute path of the machine.
func (m machine) write(t *testing.T, path, text string) {
	t.Helper()
	file := filepath.Join(string(m), path)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// inside turns the absolute paths in a text, below the folders that the manifests
// mount, into paths of the machine.
func (m machine) inside(text string) string {
	for _, top := range []string{"/etc/rdsproxy", "/run/secrets"} {
		text = strings.ReplaceAll(text, top, filepath.Join(string(m), top))
	}
	return text
}

// check gives a command line of the daemon to `rdsproxy check`: the flags of `run`
// are those of `check`.
func (m machine) check(t *testing.T, args []string) {
	t.Helper()
	if len(args) == 0 || args[0] != "run" {
		t.Fatalf("command line %q does not start with run", args)
	}
	flags := []string{"check"}
	for _, a := range args[1:] {
		flags = append(flags, m.inside(a))
	}
	cmd := exec.Command(binary, flags...)
	cmd.Dir = string(m)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("rdsproxy %s: %v\n%s", strings.Join(flags, " "), err, out)
	}
}

// writeSecret stores a user's secret as Kubernetes mounts it.
func (m machine) writeSecret(t *testing.T, dir, user string) {
	t.Helper()
	m.write(t, filepath.Join(dir, "username"), user)
	m.write(t, filepath.Join(dir, "password"), "not a secret")
}

// writeCertificate stores a certificate as a Secret of type kubernetes.io/tls is mounted.
func (m machine) writeCertificate(t *testing.T, dir string) {
	t.Helper()
	cert, key := certificate(t)
	m.write(t, filepath.Join(dir, "tls.crt"), cert)
	m.write(t, filepath.Join(dir, "tls.key"), key)
}

// certificate makes a certificate that nobody has signed, and its key, in PEM.
func certificate(t *testing.T) (certPEM, keyPEM string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"rdsproxy"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

// TestExample has every setting of the documented example accepted.
func TestExample(t *testing.T) {
	m := newMachine(t)
	m.write(t, "/etc/rdsproxy/rdsproxy.yaml", read(t, "configs/rdsproxy.example.yaml"))
	m.write(t, "/etc/rdsproxy/app.json", `{"username": "app", "password": "not a secret"}`)
	m.check(t, []string{"run", "--config", "/etc/rdsproxy/rdsproxy.yaml"})
}

// TestReadme has the walk-through's configuration accepted.
func TestReadme(t *testing.T) {
	_, rest, found := strings.Cut(read(t, "README.md"), "```yaml\n")
	text, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("no configuration in README.md")
	}
	m := newMachine(t)
	cert, key := certificate(t)
	m.write(t, "/etc/rdsproxy/rdsproxy.yaml", text)
	m.write(t, "/etc/rdsproxy/server.crt", cert)
	m.write(t, "/etc/rdsproxy/server.key", key)
	m.write(t, "/etc/rdsproxy/rds-bundle.pem", cert)
	m.write(t, "/etc/rdsproxy/app.json", `{"username": "app", "password": "..."}`)
	m.check(t, []string{"run", "--config", "/etc/rdsproxy/rdsproxy.yaml"})
}
