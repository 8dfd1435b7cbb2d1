// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/rdsproxy/rdsproxy/pkg/config"
)

func TestLogJSON(t *testing.T) {
	var out bytes.Buffer
	log, _ := newLogger(config.Log{Level: config.LogInfo, Format: config.LogJSON}, &out)
	log.Named("pool").Warn("no connection", zap.Duration("waited", 1500*time.Millisecond), zap.String("user", "a\nb"))
	log.Debug("not shown")
	var line map[string]string
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`).MatchString(line["time"]) {
		t.Error(line["time"])
	}
	delete(line, "time")
	want := map[string]string{"level": "warn", "part": "pool", "msg": "no connection", "waited": "1.5s", "user": "a\nb"}
	if len(line) != len(want) {
		t.Error(line)
	}
	for k, v := range want {
		if line[k] != v {
			t.Errorf("%s: %q, want %q", k, line[k], v)
		}
	}
}

func TestLogConsole(t *testing.T) {
	var out bytes.Buffer
	log, _ := newLogger(config.Log{Level: config.LogInfo, Format: config.LogConsole}, &out)
	log.Error("no connection", zap.String("user", "app"))
	if !regexp.MustCompile(`^\S+Z\tERROR\tno connection\t\{"user": "app"\}\n$`).Match(out.Bytes()) {
		t.Errorf("%q", out.String())
	}
}

func TestLogLevels(t *testing.T) {
	for l, want := range map[config.LogLevel]zapcore.Level{
		config.LogDebug: zap.DebugLevel, config.LogInfo: zap.InfoLevel, config.LogWarn: zap.WarnLevel, config.LogError: zap.ErrorLevel,
		"": zap.InfoLevel,
	} {
		if got := zapLevel(l); got != want {
			t.Errorf("%q: %v, want %v", l, got, want)
		}
	}
	var out bytes.Buffer
	log, level := newLogger(config.Log{Level: config.LogError}, &out)
	log.Info("one")
	level.SetLevel(zapLevel(config.LogInfo))
	log.Info("two")
	if got := strings.Count(out.String(), "\n"); got != 1 || !strings.Contains(out.String(), "two") {
		t.Error(out.String())
	}
}

// TestLogIsSampled: a flood of one message leaves a trace of it, and another message is not lost in it.
func TestLogIsSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log, _ := newLogger(config.Log{Level: config.LogInfo, Format: config.LogJSON}, &out)
		for range 10000 {
			log.Info("client refused")
		}
		log.Info("reloaded")
		if n := strings.Count(out.String(), "client refused"); n < 100 || n > 250 {
			t.Errorf("%d lines of 10000", n)
		}
		if !strings.Contains(out.String(), "reloaded") {
			t.Error("another message is lost")
		}
		out.Reset()
		time.Sleep(2 * time.Second) //nolint:forbidigo // virtual time: synctest
		log.Info("client refused")
		if out.Len() == 0 {
			t.Error("not written after a pause")
		}
	})
}
