// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/rdsproxy/rdsproxy/pkg/iam"
	"github.com/rdsproxy/rdsproxy/pkg/rdstoken"
	"github.com/rdsproxy/rdsproxy/test/certs"
	"github.com/rdsproxy/rdsproxy/test/fakeaws"
)

const (
	testRegion  = "eu-central-1"
	testAccount = "123456789012"
)

// signer is an access key.
type signer struct{ id, secret string }

// withTLS writes a certificate, and gives the endpoint that shows it.
func (s *scene) withTLS(db *fakeDB) string {
	s.t.Helper()
	ca, err := certs.NewAuthority("test authority")
	if err != nil {
		s.t.Fatal(err)
	}
	pair, err := ca.Issue(certs.Request{})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, _, err := pair.Write(s.dir, "server"); err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprintf("endpoints: [{name: main, listen: '127.0.0.1:0', target_group: %s, names: [127.0.0.1], tls: {cert_file: server.crt, key_file: server.key}}]\n", db.name)
}

// withToken logs in by a token of either form.
func (s *scene) withToken(user string, k signer, sts bool) error {
	s.t.Helper()
	host, port, err := net.SplitHostPort(s.addr("main"))
	if err != nil {
		s.t.Fatal(err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		s.t.Fatal(err)
	}
	at := iam.Address{Host: host, Port: uint16(number)}
	c := credentials.NewStaticCredentialsProvider(k.id, k.secret, "")
	token, err := rdstoken.RDS(s.t.Context(), c, at, testRegion, user)
	if sts {
		token, err = rdstoken.STS(s.t.Context(), c, at, testRegion, user, time.Now())
	}
	if err != nil {
		s.t.Fatal(err)
	}
	cfg, err := pgconn.ParseConfig(fmt.Sprintf("host=%s port=%s user=%s dbname=db sslmode=require", host, port, user))
	if err != nil {
		s.t.Fatal(err)
	}
	cfg.Password = token.Reveal()
	conn, err := pgconn.ConnectConfig(s.t.Context(), cfg)
	if err == nil {
		s.t.Cleanup(func() { _ = conn.Conn().Close() })
	}
	return err
}

// wantRefused fails the test unless the last client was refused a token for this reason.
func (s *scene) wantRefused(err error, reason string) {
	s.t.Helper()
	s.wantState(err, "28000")
	s.waitLog("IAM token refused: "+reason, 1)
}

// TestSTS: the daemon asks STS whose a token is, and a reload changes who may log in as whom.
func TestSTS(t *testing.T) {
	aws := &fakeaws.Server{}
	orders := signer{"AKIAORDERS0000000001", "hidden/orders"}
	aws.AddIdentity(fakeaws.Identity{
		Key: orders.id, Secret: orders.secret, Account: testAccount, UserID: "AROA:s",
		ARN: "arn:aws:sts::" + testAccount + ":assumed-role/orders/session",
	})
	s := newScene(t)
	s.sts = aws.Transport()
	db := newFakeDB(t, "orders")
	section := s.withTLS(db) + "auth: [{user: app, secret: app.json, iam_auth: required}]\n" +
		"iam: {sts: {regions: [eu-central-1], mappings: [{match: '%s', users: [app]}]}}"
	role := "arn:aws:iam::" + testAccount + ":role/"
	s.configure(fmt.Sprintf(section, role+"orders"), db)
	s.start()
	if err := s.withToken("app", orders, true); err != nil {
		t.Fatalf("%v\n%s", err, s.logs)
	}
	s.waitLog(`"principal":"`+role+`orders"`, 1)
	s.wantRefused(s.withToken("app", signer{orders.id, "another"}, true), "bad_signature")
	s.wantRefused(s.withToken("app", orders, false), "malformed")
	s.configure(fmt.Sprintf(section, role+"others"), db)
	s.reload(taken)
	s.wantRefused(s.withToken("app", orders, true), "policy_denies")
	if strings.Contains(s.logs.String(), "hidden") || strings.Contains(s.logs.String(), "X-Amz-Signature") {
		t.Error("the log shows what it must not")
	}
}

// TestOwnKeys: policies are read again by a reload, and one that cannot be read changes nothing.
func TestOwnKeys(t *testing.T) {
	s := newScene(t)
	db := newFakeDB(t, "orders")
	k := signer{"AKIAORDERS0000000001", "hidden/orders"}
	s.write("key.json", fmt.Sprintf(`{"AccessKeyId":%q,"SecretAccessKey":%q}`, k.id, k.secret))
	policy := func(effect string) {
		s.write("policy.json", fmt.Sprintf(
			`{"Statement":{"Effect":%q,"Action":"rds-db:connect","Resource":"arn:aws:rds-db:%s:%s:dbuser:prx-1/app"}}`, effect, testRegion, testAccount))
	}
	policy("Allow")
	s.configure(s.withTLS(db)+"auth: [{user: app, secret: app.json, iam_auth: enabled}]\n"+
		"iam: {resource: {region: eu-central-1, account: '123456789012', id: prx-1}, own_keys: [{secret: key.json, policy_file: policy.json}]}", db)
	s.start()
	in := func() error { return s.withToken("app", k, false) }
	if err := in(); err != nil {
		t.Fatalf("%v\n%s", err, s.logs)
	}
	s.client() // by password
	s.write("policy.json", "{")
	s.reload(refused)
	if err := in(); err != nil {
		t.Error(err)
	}
	policy("Deny")
	s.reload(taken)
	s.wantRefused(in(), "policy_denies")
	s.configure(s.withTLS(db), db)
	s.reload(taken)
	s.wantState(in(), "28P01") // tokens are not taken anymore
}

// TestRetireAfterRotation: connections that were made with the old password do not live on for ever.
func TestRetireAfterRotation(t *testing.T) {
	s := newScene(t)
	db := newFakeDB(t, "orders")
	s.configure(fmt.Sprintf("target_groups: [{name: orders, writer: '%s', retire_after_rotation: 0s}]\nlog: {level: debug}", db.addr()), db)
	s.start()
	s.ask(s.client(), "SELECT 1")
	s.secret("app", "changed")
	s.waitLog("secret has changed", 1)
	s.waitLog(`"reason":"retired"`, 1)
	// The client may know either.
	s.client()
	if _, err := s.connect("app", "changed"); err != nil {
		t.Error(err)
	}
}
