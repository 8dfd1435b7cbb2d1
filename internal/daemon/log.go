// SPDX-License-Identifier: Apache-2.0

package daemon

import (
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/rdsproxy/rdsproxy/pkg/config"
)

// Sampling: of lines with the same level and message, the first of each second are written, then one of many. A thousand
// clients that all fail for the same reason must not fill the disk.
const (
	sampleFirst = 100
	sampleThen  = 100
)

// newLogger builds the daemon's logger, which writes whole lines to w. The level it returns may be set while it is in use,
// for a reload.
func newLogger(c config.Log, w io.Writer) (*zap.Logger, zap.AtomicLevel) {
	level := zap.NewAtomicLevelAt(zapLevel(c.Level))
	out := zapcore.Lock(zapcore.AddSync(w))
	core := zapcore.NewCore(encoder(c.Format), out, level)
	core = zapcore.NewSamplerWithOptions(core, time.Second, sampleFirst, sampleThen)
	// A stack trace is for faults of the proxy; where one happens, its handler adds it.
	return zap.New(core, zap.ErrorOutput(out), zap.AddStacktrace(zapcore.DPanicLevel)), level
}

// zapLevel is zap's level for a configured one; info for one that is not known.
func zapLevel(l config.LogLevel) zapcore.Level {
	switch l {
	case config.LogDebug:
		return zapcore.DebugLevel
	case config.LogWarn:
		return zapcore.WarnLevel
	case config.LogError:
		return zapcore.ErrorLevel
	}
	return zapcore.InfoLevel
}

func encoder(f config.LogFormat) zapcore.Encoder {
	c := zapcore.EncoderConfig{
		TimeKey:        "time",
		LevelKey:       "level",
		NameKey:        "part",
		MessageKey:     "msg",
		StacktraceKey:  "stack",
		LineEnding:     zapcore.DefaultLineEnding,
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.StringDurationEncoder,
		EncodeTime: func(t time.Time, out zapcore.PrimitiveArrayEncoder) {
			out.AppendString(t.UTC().Format("2006-01-02T15:04:05.000Z"))
		},
	}
	if f == config.LogConsole {
		c.EncodeLevel = zapcore.CapitalLevelEncoder
		return zapcore.NewConsoleEncoder(c)
	}
	return zapcore.NewJSONEncoder(c)
}
