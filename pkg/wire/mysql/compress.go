// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"bytes"
	"io"
	"sync"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// The compressed protocol wraps the stream of packets in frames: three bytes of length, one of sequence id, three of the
// length before compression. Frames and packets know nothing of each other's borders. A frame that says 0 for its length
// before compression is not compressed.
const (
	// FrameHeaderLen is the size of the header of a frame.
	FrameHeaderLen = 7

	// minCompress is the length below which compression is not tried (MIN_COMPRESS_LENGTH of servers).
	minCompress = 50
	// maxFrame is how much goes into one frame. Frames may have 16 MiB, which their reader must hold at once.
	maxFrame = 64 << 10
	// inflateStep is how much room is made at a time for what a frame holds: what is announced is only believed as
	// it comes.
	inflateStep = 64 << 10
)

// Compression is one end of a connection with the compressed protocol: the frames of both directions, which share their
// sequence ids. Nothing but that is kept between calls. It is not for use by several goroutines at once.
type Compression struct {
	codec codec
	seq   byte
}

// codec compresses and decompresses one frame.
type codec interface {
	// deflate appends src, compressed.
	deflate(dst, src []byte) []byte
	// inflate appends n bytes that src holds compressed; ok is false if src holds anything but n bytes.
	inflate(dst, src []byte, n int) (out []byte, ok bool)
}

// NewCompression returns the compression that the capabilities agreed on ask for: zlib if they have ClientCompress, zstd
// of this level (1 to 22) if they have ClientZstd, else nil.
func NewCompression(caps Capabilities, zstdLevel byte) *Compression {
	switch {
	case caps.Has(ClientCompress):
		return &Compression{codec: zlibCodec{}}
	case caps.Has(ClientZstd):
		return &Compression{codec: zstdCodec{zstd.EncoderLevelFromZstd(int(zstdLevel))}}
	}
	return nil
}

// Restart sets the sequence id of the next frame to 0, as a client has it at each command.
func (c *Compression) Restart() { c.seq = 0 }

// Inflate reads the frame at the front of src and appends what it holds, less than 16 MiB, to dst. n is the size of the
// frame; if src does not hold all of it, n is 0 and need is how many bytes it takes at least. A frame may hold nothing;
// n is then FrameHeaderLen all the same. The error is an *Error for the peer; the stream cannot be gone on with.
//
// Sequence ids are not checked: clients differ in where they count on and where they start anew, and the packets within
// have their own. Frames that are sent go on from that of the frame that was read last.
func (c *Compression) Inflate(dst, src []byte) (out []byte, n, need int, err error) {
	if len(src) < FrameHeaderLen {
		return dst, 0, FrameHeaderLen, nil
	}
	size, seq := ParseHeader(src)
	n = FrameHeaderLen + size
	if len(src) < n {
		return dst, 0, n, nil
	}
	body := src[FrameHeaderLen:n]
	plain := int(src[4]) | int(src[5])<<8 | int(src[6])<<16
	c.seq = seq + 1
	if plain == 0 {
		return append(dst, body...), n, 0, nil
	}
	before := len(dst)
	dst, ok := c.codec.inflate(dst, body, plain)
	if !ok {
		return dst[:before], 0, 0, NewError(CodeUncompress, "Couldn't uncompress communication packet")
	}
	return dst, n, 0, nil
}

// Deflate appends frames that hold src.
func (c *Compression) Deflate(dst, src []byte) []byte {
	for len(src) > 0 {
		part := src[:min(len(src), maxFrame)]
		src = src[len(part):]
		dst = c.frame(dst, part)
		c.seq++
	}
	return dst
}

func (c *Compression) frame(dst, part []byte) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, FrameHeaderLen)...)
	if len(part) >= minCompress {
		dst = c.codec.deflate(dst, part)
		if size := len(dst) - at - FrameHeaderLen; size > 0 && size < len(part) {
			PutHeader(dst[at:], size, c.seq)
			putUint24(dst[at+HeaderLen:], len(part))
			return dst
		}
		dst = dst[:at+FrameHeaderLen]
	}
	PutHeader(dst[at:], len(part), c.seq)
	putUint24(dst[at+HeaderLen:], 0)
	return append(dst, part...)
}

// appender is a writer at the end of a slice.
type appender struct{ p []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.p = append(a.p, p...)
	return len(p), nil
}

// zlibCodec compresses with zlib, at the level of servers.
type zlibCodec struct{}

// The state of a compressor takes hundreds of kilobytes, so connections share them.
var zlibWriters = sync.Pool{New: func() any { return &zlibWriter{} }}

type zlibWriter struct {
	w   *zlib.Writer
	out appender
}

func (zlibCodec) deflate(dst, src []byte) []byte {
	z := zlibWriters.Get().(*zlibWriter)
	defer zlibWriters.Put(z)
	z.out.p = dst
	if z.w == nil {
		z.w = zlib.NewWriter(&z.out)
	} else {
		z.w.Reset(&z.out)
	}
	_, err := z.w.Write(src)
	if closed := z.w.Close(); err != nil || closed != nil {
		z.w = nil // an appender returns no error, so this is not reached; the frame goes out as it is
		return dst
	}
	dst, z.out.p = z.out.p, nil
	return dst
}

var zlibReaders = sync.Pool{New: func() any { return &zlibReader{} }}

type zlibReader struct {
	r   io.ReadCloser
	src bytes.Reader
}

func (zlibCodec) inflate(dst, src []byte, n int) (out []byte, ok bool) {
	z := zlibReaders.Get().(*zlibReader)
	defer zlibReaders.Put(z)
	z.src.Reset(src)
	defer z.src.Reset(nil)
	var err error
	if z.r == nil {
		z.r, err = zlib.NewReader(&z.src)
	} else {
		err = z.r.(zlib.Resetter).Reset(&z.src, nil)
	}
	if err != nil {
		z.r = nil
		return dst, false
	}
	return readExactly(dst, z.r, n)
}

// readExactly appends n bytes of r to dst, and reports whether these were all.
func readExactly(dst []byte, r io.Reader, n int) (out []byte, ok bool) {
	for left := n; left > 0; {
		step := min(left, inflateStep)
		at := len(dst)
		dst = append(dst, make([]byte, step)...)
		got, err := io.ReadFull(r, dst[at:])
		if err != nil {
			return dst[:at+got], false
		}
		left -= step
	}
	// One more read reaches the checksum, too.
	var more [1]byte
	got, err := io.ReadFull(r, more[:])
	return dst, got == 0 && err == io.EOF
}

// zstdCodec compresses with zstd.
type zstdCodec struct{ level zstd.EncoderLevel }

var (
	zstdEncoders [zstd.SpeedBestCompression + 1]sync.Pool
	zstdDecoders sync.Pool
)

func (z zstdCodec) deflate(dst, src []byte) []byte {
	pool := &zstdEncoders[z.level]
	e, _ := pool.Get().(*zstd.Encoder)
	if e == nil {
		var err error
		e, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(z.level), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(2*maxFrame), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return dst // the options are constants that are valid; the frame would go out as it is
		}
	}
	defer pool.Put(e)
	return e.EncodeAll(src, dst)
}

func (zstdCodec) inflate(dst, src []byte, n int) (out []byte, ok bool) {
	d, _ := zstdDecoders.Get().(*zstd.Decoder)
	if d == nil {
		var err error
		d, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(MaxPayload+1), zstd.WithDecoderMaxMemory(MaxPayload))
		if err != nil {
			return dst, false
		}
	}
	defer zstdDecoders.Put(d)
	if d.Reset(bytes.NewReader(src)) != nil {
		return dst, false
	}
	out, ok = readExactly(dst, d, n)
	_ = d.Reset(nil)
	return out, ok
}
