// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"github.com/rdsproxy/rdsproxy/pkg/auth"
)

var binding = []byte("hash of a certificate")

func credential(t testing.TB, user, password string, m auth.Method) auth.Credential {
	t.Helper()
	c, err := auth.NewCredential(user, password, m)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// login runs a client of another maker against an Exchange and returns how the server's side ended.
func login(t *testing.T, x *auth.Exchange, mechanism string, conv *scram.ClientConversation) error {
	t.Helper()
	first, err := conv.Step("")
	if err != nil {
		t.Fatal(err)
	}
	challenge, err := x.First(mechanism, []byte(first))
	if err != nil {
		return err
	}
	final, err := conv.Step(string(challenge))
	if err != nil {
		t.Fatal(err)
	}
	outcome, err := x.Final([]byte(final))
	if err != nil {
		if outcome != nil {
			t.Errorf("an answer next to an error: %q", outcome)
		}
		return err
	}
	if _, err := conv.Step(string(outcome)); err != nil || !conv.Valid() {
		t.Fatalf("the client does not believe the server: %v", err)
	}
	return nil
}

func client(t testing.TB, password string) *scram.Client {
	t.Helper()
	c, err := scram.SHA256.NewClient("", password, "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestExchange(t *testing.T) {
	cred := credential(t, "ann", "secret", auth.SCRAM)
	endpoint := func(data string) scram.ChannelBinding {
		return scram.ChannelBinding{Type: scram.ChannelBindingTLSServerEndpoint, Data: []byte(data)}
	}
	for _, c := range []struct {
		name      string
		cred      auth.Credential
		binding   []byte
		mechanism string
		conv      *scram.ClientConversation
		want      string
	}{
		{"no TLS", cred, nil, auth.MechanismSCRAM, client(t, "secret").NewConversation(), ""},
		{
			"binding offered, not known to the client", cred, binding, auth.MechanismSCRAM,
			client(t, "secret").NewConversation(), "",
		},
		{
			"binding not offered, known to the client", cred, nil, auth.MechanismSCRAM,
			client(t, "secret").NewConversationAdvertisingChannelBinding(), "",
		},
		{
			"binding", cred, binding, auth.MechanismSCRAMPlus,
			client(t, "secret").NewConversationWithChannelBinding(endpoint(string(binding))), "",
		},
		{"wrong password", cred, nil, auth.MechanismSCRAM, client(t, "Secret").NewConversation(), "wrong password"},
		{
			"wrong password with binding", cred, binding, auth.MechanismSCRAMPlus,
			client(t, "x").NewConversationWithChannelBinding(endpoint(string(binding))), "wrong password",
		},
		{
			"unknown user", auth.MockCredential("ann", auth.SCRAM), nil, auth.MechanismSCRAM,
			client(t, "secret").NewConversation(), "unknown user",
		},
		{
			"credential of nobody",
			auth.Credential{},
			nil, auth.MechanismSCRAM,
			client(t, "secret").NewConversation(), "unknown user",
		},
		{
			"credential of another method", credential(t, "ann", "secret", auth.MD5), nil, auth.MechanismSCRAM,
			client(t, "secret").NewConversation(), "unknown user",
		},
		{
			"another certificate", cred, binding, auth.MechanismSCRAMPlus,
			client(t, "secret").NewConversationWithChannelBinding(endpoint("of somebody in between")),
			"SCRAM channel binding check failed",
		},
		{
			"offer of binding taken out on the way", cred, binding, auth.MechanismSCRAM,
			client(t, "secret").NewConversationAdvertisingChannelBinding(),
			"SCRAM channel binding negotiation error: The client supports SCRAM channel binding but thinks the server " +
				"does not.  However, this server does support channel binding.",
		},
		{
			"binding without the offer", cred, nil, auth.MechanismSCRAMPlus,
			client(t, "secret").NewConversationWithChannelBinding(endpoint("x")),
			"client selected an invalid SASL authentication mechanism",
		},
		{
			"binding under the other mechanism", cred, binding, auth.MechanismSCRAM,
			client(t, "secret").NewConversationWithChannelBinding(endpoint(string(binding))),
			"malformed SCRAM message: The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message " +
				"includes channel binding data.",
		},
		{
			"no binding under the mechanism with it", cred, binding, auth.MechanismSCRAMPlus,
			client(t, "secret").NewConversation(),
			"malformed SCRAM message: The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include " +
				"channel binding data.",
		},
		{
			"unknown mechanism", cred, nil, "SCRAM-SHA-1", client(t, "secret").NewConversation(),
			"client selected an invalid SASL authentication mechanism",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := login(t, auth.NewExchange(c.cred, c.binding), c.mechanism, c.conv)
			if got := text(err); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestMechanisms(t *testing.T) {
	if got := auth.NewExchange(auth.Credential{}, nil).Mechanisms(); strings.Join(got, " ") != "SCRAM-SHA-256" {
		t.Error(got)
	}
	got := auth.NewExchange(auth.Credential{}, binding).Mechanisms()
	if strings.Join(got, " ") != "SCRAM-SHA-256-PLUS SCRAM-SHA-256" {
		t.Error(got)
	}
}

// proof is well formed and fits nothing.
const proof = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

func TestFirstMessage(t *testing.T) {
	long := strings.Repeat("x", 256)
	attribute := "malformed SCRAM message: Unexpected or missing attribute in client-first-message."
	for message, want := range map[string]string{
		"n,,n=,r=abc":                       "",
		"y,,n=ann,r=abc":                    "",
		"n,,n=,r=" + long:                   "",
		"n,,n=,r=abc,x=ext,y=z":             "",
		"n,,n==,r==":                        "",
		"":                                  "malformed SCRAM message: The message is empty.",
		"n":                                 "malformed SCRAM message: Comma expected.",
		"n,":                                "malformed SCRAM message: Unexpected attribute in client-first-message.",
		"n,,":                               attribute,
		"n,,n":                              attribute,
		"n,,n=":                             attribute,
		"n,,n=,":                            attribute,
		"n,,n=,r":                           attribute,
		"n,,r=abc":                          attribute,
		"n,,n=,x=abc":                       attribute,
		"n,,n=,r=abc,":                      attribute,
		"n,,n=,r=abc,x":                     attribute,
		"n,,n=,r=abc,1=x":                   attribute,
		"n,,n=,r=abc,,":                     attribute,
		"n,,=,r=abc":                        attribute,
		"n,,n=,r=":                          "malformed SCRAM message: The nonce is empty or too long.",
		"n,,n=,r=" + long + "x":             "malformed SCRAM message: The nonce is empty or too long.",
		"n,,n=,r=a c":                       "non-printable characters in SCRAM nonce",
		"n,,n=,r=a\x7f":                     "non-printable characters in SCRAM nonce",
		"n,,n=,r=ä":                         "non-printable characters in SCRAM nonce",
		"n,,n=,r=a\x00":                     "malformed SCRAM message: Message length does not match input length.",
		"n,a=bob,n=,r=abc":                  "client uses authorization identity, but it is not supported",
		"n,b=bob,n=,r=abc":                  "malformed SCRAM message: Unexpected attribute in client-first-message.",
		"n,,m=ext,n=,r=abc":                 "client requires an unsupported SCRAM extension",
		",,n=,r=abc":                        "malformed SCRAM message: Unexpected channel-binding flag.",
		"N,,n=,r=abc":                       "malformed SCRAM message: Unexpected channel-binding flag.",
		"nn,,n=,r=abc":                      "malformed SCRAM message: Unexpected channel-binding flag.",
		"p,,n=,r=abc":                       "malformed SCRAM message: Unexpected channel-binding flag.",
		"p=,,n=,r=abc":                      "unsupported SCRAM channel-binding type",
		"p=tls-unique,,n=,r=abc":            "unsupported SCRAM channel-binding type",
		"n,,n=" + strings.Repeat("x", 1024): "malformed SCRAM message: The message is too long.",
		"p=tls-server-end-point,,n=,r=abc": "malformed SCRAM message: The client selected SCRAM-SHA-256 without channel " +
			"binding, but the SCRAM message includes channel binding data.",
	} {
		x := auth.NewExchange(auth.MockCredential("ann", auth.SCRAM), nil)
		challenge, err := x.First(auth.MechanismSCRAM, []byte(message))
		if got := text(err); got != want {
			t.Errorf("%q: %q, want %q", message, got, want)
		}
		if (err == nil) == (challenge == nil) {
			t.Errorf("%q: challenge %q and error %v", message, challenge, err)
		}
	}
}

func TestFinalMessage(t *testing.T) {
	attribute := "malformed SCRAM message: Unexpected or missing attribute in client-final-message."
	bad := "malformed SCRAM message: Malformed proof in client-final-message."
	flag := "unexpected SCRAM channel-binding attribute in client-final-message"
	nonce := "invalid SCRAM response: Nonce does not match."
	// NONCE stands for the nonce of both sides.
	for message, want := range map[string]string{
		"c=biws,r=NONCE,p=" + proof:       "unknown user",
		"c=biws,r=NONCE,x=y,p=" + proof:   "unknown user",
		"":                                "malformed SCRAM message: The message is empty.",
		"c":                               attribute,
		"c=biws":                          attribute,
		"c=biws,r=NONCE":                  attribute, // the class of PgBouncer's CVE-2026-19888
		"c=biws,r=NONCE,":                 attribute,
		"c=biws,r=NONCE,x=y":              attribute,
		"c=biws,p=" + proof:               attribute,
		"r=NONCE,p=" + proof:              attribute,
		"r=NONCE,c=biws,p=" + proof:       attribute,
		"p=" + proof:                      attribute,
		"c=biws,r=NONCE,,p=" + proof:      attribute,
		"c=biws,r=NONCE,p=" + proof + ",": "malformed SCRAM message: Garbage found at the end of client-final-message.",
		"c=biws,r=NONCE,p=" + proof + ",p=" + proof:   "malformed SCRAM message: Garbage found at the end of client-final-message.",
		"c=biws,r=NONCE,p=":                           bad,
		"c=biws,r=NONCE,p=" + proof[:43]:              bad,
		"c=biws,r=NONCE,p=" + proof + "A":             bad,
		"c=biws,r=NONCE,p=" + proof[:40] + "\n\n\n=":  bad,
		"c=biws,r=NONCE,p=" + proof[:42] + "B=":       bad, // bits behind the last byte
		"c=biws,r=NONCE,p=" + strings.Repeat("!", 44): bad,
		"c=biws,r=NONCE,p=" + strings.Repeat("A", 44): bad, // 33 bytes
		"c=,r=NONCE,p=" + proof:                       flag,
		"c=eSws,r=NONCE,p=" + proof:                   flag, // "y,,", and "n,," was said first
		"c=biwsAAAA,r=NONCE,p=" + proof:               flag,
		"c=biws,r=,p=" + proof:                        nonce,
		"c=biws,r=abc,p=" + proof:                     nonce,
		"c=biws,r=NONCEx,p=" + proof:                  nonce,
		"c=biws,r=NONCE,p=" + proof + "\x00":          "malformed SCRAM message: Message length does not match input length.",
		"c=" + strings.Repeat("A", 1024):              "malformed SCRAM message: The message is too long.",
	} {
		x := auth.NewExchange(auth.MockCredential("ann", auth.SCRAM), nil)
		challenge, err := x.First(auth.MechanismSCRAM, []byte("n,,n=,r=abc"))
		if err != nil {
			t.Fatal(err)
		}
		both, _, _ := strings.Cut(strings.TrimPrefix(string(challenge), "r="), ",")
		message = strings.ReplaceAll(message, "NONCE", both)
		if _, err := x.Final([]byte(message)); text(err) != want {
			t.Errorf("%q: %q, want %q", message, text(err), want)
		}
	}
}

// TestExchangeIsUsedOnce: nothing can be said twice or out of order, and nothing after an error.
func TestExchangeIsUsedOnce(t *testing.T) {
	cred := credential(t, "ann", "secret", auth.SCRAM)
	state := "invalid SCRAM exchange state"
	x := auth.NewExchange(cred, nil)
	if _, err := x.Final([]byte("c=biws,r=abc,p=" + proof)); text(err) != state {
		t.Errorf("final before first: %v", err)
	}
	if _, err := x.First(auth.MechanismSCRAM, []byte("bad")); err == nil {
		t.Fatal("accepted")
	}
	if _, err := x.First(auth.MechanismSCRAM, []byte("n,,n=,r=abc")); text(err) != state {
		t.Errorf("first after an error: %v", err)
	}
	x = auth.NewExchange(cred, nil)
	if err := login(t, x, auth.MechanismSCRAM, client(t, "wrong").NewConversation()); !errors.Is(err, auth.ErrWrongPassword) {
		t.Fatal(err)
	}
	if _, err := x.Final([]byte("c=biws,r=abc,p=" + proof)); text(err) != state {
		t.Errorf("a second final: %v", err)
	}
}

// TestErrorsHoldNothingOfTheClient: what a stranger sends does not come back in an error, and so not in a log.
func TestErrorsHoldNothingOfTheClient(t *testing.T) {
	const mark = "MARK"
	for _, message := range []string{
		"MARK,,n=,r=abc", "p=MARK,,n=,r=abc", "n,MARK=x,n=,r=abc", "n,,MARK", "n,,n=MARK,r=", "n,,n=,r=MARK\x01", "MARK",
	} {
		x := auth.NewExchange(auth.Credential{}, nil)
		if _, err := x.First(auth.MechanismSCRAM, []byte(message)); err == nil || strings.Contains(err.Error(), mark) {
			t.Errorf("%q: %v", message, err)
		}
	}
	x := auth.NewExchange(auth.Credential{}, nil)
	if _, err := x.First(mark, []byte("n,,n=,r=abc")); err == nil || strings.Contains(err.Error(), mark) {
		t.Error(err)
	}
}

// FuzzExchange plays both messages of a client, valid up to what the fuzzer changes.
func FuzzExchange(f *testing.F) {
	f.Add("SCRAM-SHA-256", []byte("n,,n=,r=abc"), []byte("c=biws,r=NONCE,p="+proof), false)
	f.Add("SCRAM-SHA-256-PLUS", []byte("p=tls-server-end-point,,n=,r=abc"), []byte("c=eSws,r=NONCE,x=y,p="+proof), true)
	f.Add("SCRAM-SHA-256", []byte("y,,n=,r=abc,x=y"), []byte("c=,r=NONCE"), false)
	cred := credential(f, "ann", "secret", auth.SCRAM)
	f.Fuzz(func(t *testing.T, mechanism string, first, final []byte, bind bool) {
		var b []byte
		if bind {
			b = binding
		}
		x := auth.NewExchange(cred, b)
		challenge, err := x.First(mechanism, first)
		if err != nil {
			checkError(t, err)
			return
		}
		both, _, ok := strings.Cut(strings.TrimPrefix(string(challenge), "r="), ",s=")
		if !ok || len(challenge) > 512 {
			t.Fatalf("challenge %q", challenge)
		}
		if _, err = x.Final([]byte(strings.ReplaceAll(string(final), "NONCE", both))); err == nil {
			t.Fatal("logged in without the password")
		}
		if !errors.Is(err, auth.ErrWrongPassword) {
			checkError(t, err)
		}
	})
}

func checkError(t *testing.T, err error) {
	t.Helper()
	var p *auth.ProtocolError
	if !errors.As(err, &p) || p.Fault == 0 || p.Message == "" {
		t.Fatalf("%#v", err)
	}
}

func BenchmarkExchange(b *testing.B) {
	cred := credential(b, "ann", "secret", auth.SCRAM)
	final := []byte("c=biws,r=NONCE,p=" + proof)
	b.ReportAllocs()
	for b.Loop() {
		x := auth.NewExchange(cred, nil)
		challenge, _ := x.First(auth.MechanismSCRAM, []byte("n,,n=,r=abc"))
		both, _, _ := strings.Cut(strings.TrimPrefix(string(challenge), "r="), ",s=")
		_, _ = x.Final([]byte(strings.Replace(string(final), "NONCE", both, 1)))
	}
}

func BenchmarkNewCredential(b *testing.B) {
	for b.Loop() {
		_, _ = auth.NewCredential("ann", "secret", auth.SCRAM)
	}
}
