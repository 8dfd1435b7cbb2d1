// SPDX-License-Identifier: Apache-2.0

package mysql_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/rdsproxy/rdsproxy/pkg/wire/mysql"
)

var compressions = map[string]func() *mysql.Compression{
	"zlib":    func() *mysql.Compression { return mysql.NewCompression(mysql.ClientCompress, 0) },
	"zstd":    func() *mysql.Compression { return mysql.NewCompression(mysql.ClientZstd, 3) },
	"zstd 22": func() *mysql.Compression { return mysql.NewCompression(mysql.ClientZstd, 22) },
}

// inflateAll reads frames from src that arrive in cuts of step bytes.
func inflateAll(c *mysql.Compression, src []byte, step int) (plain []byte, frames int, err error) {
	at := 0
	for end := min(step, len(src)); ; end = min(end+step, len(src)) {
		for {
			out, n, need, err := c.Inflate(plain, src[at:end:end])
			if err != nil {
				return plain, frames, err
			}
			if n == 0 {
				if need <= end-at {
					return plain, frames, errors.New("asks for what it has")
				}
				break
			}
			plain, at, frames = out, at+n, frames+1
		}
		if end == len(src) {
			if at != end {
				return plain, frames, errors.New("stops before the end")
			}
			return plain, frames, nil
		}
	}
}

func TestCompressionComesBack(t *testing.T) {
	noise := make([]byte, 200_000)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	for name, build := range compressions {
		for what, plain := range map[string][]byte{
			"short":         []byte("short"),
			"of 49 bytes":   bytes.Repeat([]byte{1}, 49),
			"of 50 bytes":   bytes.Repeat([]byte{1}, 50),
			"noise":         noise,
			"text":          []byte(strings.Repeat("select * from t; ", 20_000)),
			"exact a frame": make([]byte, 64<<10),
		} {
			packed := build().Deflate([]byte("front"), plain)
			if string(packed[:5]) != "front" {
				t.Fatal("front")
			}
			for _, step := range []int{1, 7, 1000, 1 << 30} {
				if step == 1 && len(packed) > 1000 {
					continue
				}
				got, _, err := inflateAll(build(), packed[5:], step)
				if err != nil || !bytes.Equal(got, plain) {
					t.Errorf("%s, %s, by %d: %d bytes of %d, %v", name, what, step, len(got), len(plain), err)
				}
			}
			if most := len(plain) + 7*(len(plain)/(64<<10)+1); len(packed)-5 > most {
				t.Errorf("%s, %s: grows to %d bytes", name, what, len(packed)-5)
			}
			if what == "text" && len(packed) > len(plain)/20 {
				t.Errorf("%s, %s: %d of %d bytes", name, what, len(packed), len(plain))
			}
		}
	}
	if mysql.NewCompression(mysql.Always, 3) != nil {
		t.Error("compression that nobody asked for")
	}
}

// TestCompressionPacketsAndFramesDiffer: a packet may span frames, and a frame hold packets and parts of them.
func TestCompressionPacketsAndFramesDiffer(t *testing.T) {
	stream := mysql.AppendPacket(nil, 0, make([]byte, 1000))
	stream = mysql.AppendPacket(stream, 1, []byte("second"))
	c := compressions["zlib"]()
	packed := c.Deflate(nil, stream[:3])
	packed = c.Deflate(packed, stream[3:900])
	packed = c.Deflate(packed, stream[900:])
	got, frames, err := inflateAll(compressions["zlib"](), packed, 1<<20)
	if !bytes.Equal(got, stream) || frames != 3 || err != nil {
		t.Errorf("%d bytes, %d frames, %v", len(got), frames, err)
	}
}

// TestCompressionSequence: an answer goes on from the frame it answers, whatever number that had.
func TestCompressionSequence(t *testing.T) {
	c := compressions["zlib"]()
	for _, seq := range []byte{0, 4, 255, 0} {
		if _, _, _, err := c.Inflate(nil, frame(seq, 0, []byte("ping"))); err != nil {
			t.Fatal(err)
		}
		answer := c.Deflate(c.Deflate(nil, []byte("ok")), []byte("ok"))
		if answer[3] != seq+1 || answer[9+3] != seq+2 {
			t.Errorf("%d is answered with %d and %d", seq, answer[3], answer[12])
		}
	}
	c.Restart()
	if got := c.Deflate(nil, []byte("x")); got[3] != 0 {
		t.Errorf("restart: %d", got[3])
	}
}

// frame builds a frame of any content.
func frame(seq byte, plain int, body []byte) []byte {
	p := mysql.AppendHeader(nil, len(body), seq)
	return append(append(p, byte(plain), byte(plain>>8), byte(plain>>16)), body...)
}

func zlibBytes(plain []byte) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	w.Write(plain)
	w.Close()
	return b.Bytes()
}

func zstdBytes(tb testing.TB, plain []byte) []byte {
	e, err := zstd.NewWriter(nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer e.Close()
	return e.EncodeAll(plain, nil)
}

// TestInflateIsBounded: what is announced is held against what comes (CVE-2026-102664), and a bomb makes no more than
// it announced.
func TestInflateIsBounded(t *testing.T) {
	text := bytes.Repeat([]byte("abc"), 1000)
	bomb := make([]byte, 20<<20)
	for name, body := range map[string][]byte{"zlib": zlibBytes(text), "zstd": zstdBytes(t, text)} {
		bomb := map[string]func() []byte{
			"zlib": func() []byte { return zlibBytes(bomb) }, "zstd": func() []byte { return zstdBytes(t, bomb) },
		}[name]()
		corrupt := bytes.Clone(body)
		corrupt[len(corrupt)-2] ^= 1
		c := compressions[name]()
		if out, n, _, err := c.Inflate(nil, frame(0, len(text), body)); err != nil || n != len(body)+7 || !bytes.Equal(out, text) {
			t.Fatalf("%s: %d, %v", name, n, err)
		}
		for what, f := range map[string][]byte{
			"a byte less announced":   frame(0, len(text)-1, body),
			"a byte more announced":   frame(0, len(text)+1, body),
			"16 MiB announced":        frame(0, mysql.MaxPayload, body),
			"one byte announced":      frame(0, 1, body),
			"a bomb":                  frame(0, 1000, bomb),
			"a bomb, 16 MiB of it":    frame(0, mysql.MaxPayload, bomb),
			"cut short":               frame(0, len(text), body[:len(body)-1]),
			"another sum":             frame(0, len(text), corrupt),
			"nothing":                 frame(0, 5, nil),
			"not compressed":          frame(0, 5, []byte("hello")),
			"of the other algorithm":  frame(0, len(text), map[string][]byte{"zstd": zlibBytes(text), "zlib": zstdBytes(t, text)}[name]),
			"head of the format only": frame(0, 5, body[:2]),
		} {
			out, n, need, err := c.Inflate([]byte("front"), f)
			if e := (*mysql.Error)(nil); !errors.As(err, &e) || n != 0 || need != 0 || string(out) != "front" {
				t.Errorf("%s, %s: %d bytes, %d, %d, %v", name, what, len(out), n, need, err)
			}
		}
	}
}

// TestInflateBelievesNoAnnouncement: room is made as data comes.
func TestInflateBelievesNoAnnouncement(t *testing.T) {
	c := compressions["zlib"]()
	f := frame(0, mysql.MaxPayload, zlibBytes([]byte("ten bytes!")))
	c.Inflate(nil, f)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c.Inflate(nil, f)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes for a frame that holds ten", got)
	}
}

// TestEmptyFrames: they are consumed, so that a stream of them ends.
func TestEmptyFrames(t *testing.T) {
	for name, build := range compressions {
		got, frames, err := inflateAll(build(), bytes.Repeat(frame(0, 0, nil), 1000), 100)
		if len(got) != 0 || frames != 1000 || err != nil {
			t.Errorf("%s: %d bytes, %d frames, %v", name, len(got), frames, err)
		}
	}
	if got := compressions["zlib"]().Deflate(nil, nil); len(got) != 0 {
		t.Errorf("%x", got)
	}
}

func TestInflateStartsNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, build := range compressions {
		c := build()
		for range 50 {
			p := c.Deflate(nil, make([]byte, 100_000))
			if _, _, err := inflateAll(c, p, 1<<20); err != nil {
				t.Fatal(err)
			}
		}
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines more", after-before)
	}
}

func FuzzInflate(f *testing.F) {
	text := bytes.Repeat([]byte("abc"), 100)
	f.Add(frame(0, 0, []byte("x")), true)
	f.Add(frame(0, 300, zlibBytes(text)), false)
	f.Add(frame(0, 300, zstdBytes(f, text)), true)
	f.Add(frame(0, 0, nil), true)
	f.Fuzz(func(t *testing.T, p []byte, z bool) {
		name := "zlib"
		if z {
			name = "zstd"
		}
		c := compressions[name]()
		out, n, need, err := c.Inflate(nil, p)
		switch {
		case err != nil:
			if n != 0 || len(out) != 0 {
				t.Fatal("both")
			}
		case n == 0:
			if need <= len(p) {
				t.Fatal(need)
			}
		default:
			size := int(binary.LittleEndian.Uint32(append(bytes.Clone(p[4:7]), 0)))
			if size == 0 {
				size = n - 7
			}
			if len(out) != size || n > len(p) {
				t.Fatalf("%d bytes, %d announced", len(out), size)
			}
		}
	})
}
