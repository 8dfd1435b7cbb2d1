// SPDX-License-Identifier: Apache-2.0

package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.yaml.in/yaml/v3"

	"github.com/rdsproxy/rdsproxy/pkg/secret"
)

const hidden = "correct horse"

// holder keeps a password where fmt cannot reach its methods.
type holder struct {
	cred secret.Credential
	list []secret.Password
	m    map[string]secret.Password
}

// TestPasswordNeverShows prints, logs and encodes a password every way there is.
func TestPasswordNeverShows(t *testing.T) {
	p := secret.NewPassword(hidden)
	c := secret.Credential{Username: "app", Password: p}
	values := map[string]any{
		"password": p, "pointer": &p, "credential": c, "pointer to credential": &c,
		"slice": []secret.Password{p}, "map": map[string]secret.Password{"a": p}, "array": [1]secret.Credential{c},
		"not exported":            holder{c, []secret.Password{p}, map[string]secret.Password{"a": p}},
		"pointer to not exported": &holder{c, []secret.Password{p}, map[string]secret.Password{"a": p}},
		"in an error":             fmt.Errorf("failed for %v with %s", c, p),
	}
	for name, v := range values {
		t.Run(name, func(t *testing.T) {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%08.3v", "%-20s"} {
				refuse(t, verb, fmt.Sprintf(verb, v))
			}
			refuse(t, "Sprint", fmt.Sprint(v))
			text, err := json.Marshal(v)
			if err == nil {
				refuse(t, "json", string(text))
			}
			text, err = yaml.Marshal(v)
			if err == nil {
				refuse(t, "yaml", string(text))
			}
			refuse(t, "zap", zapped(v))
			var out bytes.Buffer
			slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
			slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
			refuse(t, "slog", out.String())
		})
	}
}

func refuse(t *testing.T, how, text string) {
	t.Helper()
	for _, shape := range []string{hidden, fmt.Sprintf("%x", hidden), fmt.Sprintf("%X", hidden), fmt.Sprint([]byte(hidden))} {
		if strings.Contains(text, shape) {
			t.Errorf("%s shows the password: %s", how, text)
		}
	}
}

func zapped(v any) string {
	var out bytes.Buffer
	for _, e := range []zapcore.Encoder{
		zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig()),
	} {
		log := zap.New(zapcore.NewCore(e, zapcore.AddSync(&out), zap.DebugLevel))
		log.Info("x", zap.Any("any", v), zap.Reflect("reflect", v))
		log.Sugar().Infow("x", "v", v)
		log.Sugar().Infof("%v %+v", v, v)
		if s, ok := v.(fmt.Stringer); ok {
			log.Info("x", zap.Stringer("stringer", s))
		}
	}
	return out.String()
}

func TestPassword(t *testing.T) {
	var zero secret.Password
	p := secret.NewPassword(hidden)
	if zero.Reveal() != "" || !zero.IsEmpty() || zero.String() != p.String() || p.Reveal() != hidden || p.IsEmpty() {
		t.Error("zero or full password is wrong")
	}
	if !p.Equal(secret.NewPassword(hidden)) || p.Equal(secret.NewPassword("other")) || p.Equal(zero) || !zero.Equal(secret.NewPassword("")) {
		t.Error("Equal is wrong")
	}
	a, b := secret.Credential{Username: "a", Password: p}, secret.Credential{Username: "b", Password: p}
	if a.Equal(b) || !a.Equal(secret.Credential{Username: "a", Password: secret.NewPassword(hidden)}) {
		t.Error("Credential.Equal is wrong")
	}
	text, err := json.Marshal(a)
	if err != nil || string(text) != `{"username":"a","password":"********"}` {
		t.Errorf("%s, %v", text, err)
	}
}

func TestDecode(t *testing.T) {
	tests := []struct{ name, text, username, password string }{
		{"plain", `{"username":"app","password":"correct horse"}`, "app", hidden},
		{"as RDS writes it", `{"engine":"postgres","host":"h","port":5432,"dbname":"d","username":"app","password":"correct horse","dbInstanceIdentifier":null}`, "app", hidden},
		{"blanks, a byte order mark, a newline", "\ufeff \t{\n\"username\" : \"app\",\"password\":\"correct horse\" }\r\n", "app", hidden},
		{"escapes", `{"username":"a\u0070p","password":"\"\\\/\u00e9\ud83d\ude00 "}`, "app", "\"\\/é😀 "},
		{"the replacement character as such", "{\"username\":\"app\",\"password\":\"\ufffd\"}", "app", "\ufffd"},
		{"names in another letter case are others", `{"Username":"x","PASSWORD":"y","username":"app","password":"z"}`, "app", "z"},
		{"a long one", `{"username":"app","password":"` + strings.Repeat("x", 60000) + `"}`, "app", strings.Repeat("x", 60000)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := secret.Decode([]byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if c.Username != tt.username || c.Password.Reveal() != tt.password {
				t.Errorf("got %q %q", c.Username, c.Password.Reveal())
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"nothing", "", "malformed: is empty"},
		{"blanks", " \n", "malformed: is empty"},
		{"a bare password", hidden, "malformed: is not JSON at byte 1"},
		{"cut short", `{"username":"app","password":"correct horse`, "malformed: is not JSON, or not all of it"},
		{"a comma too many", `{"username":"app","password":"correct horse",}`, "malformed: is not JSON at byte 46"},
		{"another after it", `{"username":"app","password":"correct horse"}{}`, "malformed: there is something behind the JSON object"},
		{"garbage after it", `{"username":"app","password":"correct horse"}correct horse`, "malformed: there is something behind the JSON object"},
		{"a list", `["correct horse"]`, "malformed: is JSON, but not an object with username and password"},
		{"a text", `"correct horse"`, "malformed: is JSON, but not an object with username and password"},
		{"null", `null`, `malformed: has no member "username"`},
		{"no username", `{"password":"correct horse"}`, `malformed: has no member "username"`},
		{"no password", `{"username":"app","pasword":"correct horse"}`, `malformed: has no member "password"`},
		{"password null", `{"username":"app","password":null}`, `malformed: member "password" is not a text`},
		{"password a number", `{"username":"app","password":12345}`, `malformed: member "password" is not a text`},
		{"password an object", `{"username":"app","password":{"v":"correct horse"}}`, `malformed: member "password" is not a text`},
		{"password empty", `{"username":"app","password":""}`, `malformed: password is empty`},
		{"username empty", `{"username":"","password":"correct horse"}`, `malformed: username is empty`},
		{"a NUL", `{"username":"app","password":"correct horse\u0000"}`, `malformed: password holds a NUL`},
		{"half a surrogate pair", `{"username":"app","password":"correct horse\ud800"}`, `malformed: member "password" is not Unicode`},
		{"not UTF-8", "{\"username\":\"app\",\"password\":\"correct horse\xff\"}", "malformed: is not UTF-8"},
		{"too large", `{"username":"app","password":"` + strings.Repeat(hidden, 10000) + `"}`, "too large: more than 65536 bytes"},
		{"deep", `{"a":` + strings.Repeat("[", 60000), "malformed: is not JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := secret.Decode([]byte(tt.text))
			if err == nil {
				t.Fatalf("accepted: %q", c.Username)
			}
			if !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("%v, want %s", err, tt.want)
			}
			if !errors.Is(err, secret.ErrMalformed) && !errors.Is(err, secret.ErrTooLarge) {
				t.Errorf("%v is of no kind", err)
			}
			refuse(t, "the error", err.Error())
		})
	}
}

// FuzzDecode: whatever the text, Decode does not panic, shows nothing of it, and what it accepts can be used.
func FuzzDecode(f *testing.F) {
	whole := `{"username":"app","password":"correct \u00e9 horse","port":5432}`
	for i := range len(whole) + 1 {
		f.Add([]byte(whole[:i]))
	}
	f.Add([]byte("\ufeff{}"))
	f.Add([]byte(`{"username":"a","password":"\ud800"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := secret.Decode(text)
		if err != nil {
			if !c.Password.IsEmpty() || c.Username != "" {
				t.Error("an error and a credential")
			}
			if len(err.Error()) > 100 {
				t.Errorf("an error that may quote: %v", err)
			}
			return
		}
		if c.Username == "" || c.Password.IsEmpty() || strings.ContainsRune(c.Username+c.Password.Reveal(), 0) {
			t.Errorf("accepted %q", text)
		}
		var plain map[string]any
		if err := json.Unmarshal(bytes.TrimPrefix(text, []byte("\ufeff")), &plain); err != nil || plain["password"] != c.Password.Reveal() {
			t.Errorf("read otherwise than encoding/json: %q", text)
		}
	})
}
