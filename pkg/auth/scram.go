// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strconv"
)

// Names of the SASL mechanisms (RFC 7677).
const (
	MechanismSCRAM     = "SCRAM-SHA-256"
	MechanismSCRAMPlus = "SCRAM-SHA-256-PLUS"
)

const (
	// Iterations is the PBKDF2 count that clients are asked for: PostgreSQL's default, and RDS Proxy's.
	Iterations = 4096
	// MaxSCRAMMessage is the most bytes of one message of a client (PostgreSQL's PG_MAX_SASL_MESSAGE_LENGTH).
	MaxSCRAMMessage = 1024
	// MaxNonce is the most bytes of a client's nonce. Clients in use send 18 to 32.
	MaxNonce = 256

	saltSize        = 16
	serverNonceSize = 18 // before base64, as PostgreSQL
)

// Exchange is the server's side of one SCRAM login. It is used once and not concurrently.
type Exchange struct {
	k         *keys
	binding   []byte // nil: channel binding is not offered
	nonceSeed [serverNonceSize]byte
	step      step

	gs2         string // the client's GS2 header, to which "c=" must refer
	bound       bool   // with channel binding
	nonce       string // of both
	authMessage string // as far as known: client-first-message-bare, server-first-message
}

type step uint8

const (
	waitFirst step = iota
	waitFinal
	over
)

// NewExchange begins a login. binding is EndpointHash of the certificate shown on this connection, nil if there is no
// TLS or no hash; with it, the mechanism with channel binding is offered. A credential of another method, or the zero
// one, refuses everybody.
func NewExchange(c Credential, binding []byte) *Exchange {
	if c.Method() != SCRAM && c.Method() != TokenOrPassword {
		c = MockCredential("", SCRAM)
	}
	x := &Exchange{k: c.get(), binding: binding}
	_, _ = rand.Read(x.nonceSeed[:]) // never fails
	return x
}

// Mechanisms returns what to offer to the client, the best first.
func (x *Exchange) Mechanisms() []string {
	if x.binding != nil {
		return []string{MechanismSCRAMPlus, MechanismSCRAM}
	}
	return []string{MechanismSCRAM}
}

// First takes the mechanism that the client chose and its first message, and returns the challenge to be sent. An
// error is a *ProtocolError and ends the login.
func (x *Exchange) First(mechanism string, message []byte) ([]byte, error) {
	if x.step != waitFirst {
		return nil, errState()
	}
	x.step = over
	switch {
	case mechanism == MechanismSCRAM:
	case mechanism == MechanismSCRAMPlus && x.binding != nil:
		x.bound = true
	default:
		return nil, &ProtocolError{
			Fault: Malformed, Message: "client selected an invalid SASL authentication mechanism",
		}
	}
	first, err := parseClientFirst(message)
	if err != nil {
		return nil, err
	}
	if err := x.checkBindingFlag(first.flag); err != nil {
		return nil, err
	}
	x.gs2 = first.gs2
	x.nonce = first.nonce + base64.StdEncoding.EncodeToString(x.nonceSeed[:])
	challenge := "r=" + x.nonce + ",s=" + base64.StdEncoding.EncodeToString(x.k.salt[:]) +
		",i=" + strconv.Itoa(Iterations)
	x.authMessage = first.bare + "," + challenge
	x.step = waitFinal
	return []byte(challenge), nil
}

// checkBindingFlag holds the client's word on channel binding against what was offered and chosen (RFC 5802 section
// 6). "y" says "I could, but you cannot": if we offered it, somebody took the offer out of our message.
func (x *Exchange) checkBindingFlag(flag byte) error {
	switch {
	case flag == 'p' && !x.bound:
		return malformed("The client selected SCRAM-SHA-256 without channel binding, " +
			"but the SCRAM message includes channel binding data.")
	case flag != 'p' && x.bound:
		return malformed("The client selected SCRAM-SHA-256-PLUS, " +
			"but the SCRAM message does not include channel binding data.")
	case flag == 'y' && x.binding != nil:
		return &ProtocolError{
			Fault: Binding, Message: "SCRAM channel binding negotiation error",
			Detail: "The client supports SCRAM channel binding but thinks the server does not.  " +
				"However, this server does support channel binding.",
		}
	}
	return nil
}

// Final takes the client's last message. On success it returns the server's signature, to be sent ahead of
// AuthenticationOk. The error is ErrWrongPassword, ErrUnknownUser or a *ProtocolError.
func (x *Exchange) Final(message []byte) ([]byte, error) {
	if x.step != waitFinal {
		return nil, errState()
	}
	x.step = over
	final, err := parseClientFinal(message)
	if err != nil {
		return nil, err
	}
	if err := x.checkBinding(final.binding); err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(final.nonce), []byte(x.nonce)) != 1 {
		return nil, &ProtocolError{Fault: Malformed, Message: "invalid SCRAM response", Detail: "Nonce does not match."}
	}
	authMessage := []byte(x.authMessage + "," + final.withoutProof)

	used := x.k.match(func(p *proof) bool { return p.proves(final.proof, authMessage) })
	if err := x.k.verdict(used != nil); err != nil {
		return nil, err
	}
	signature := mac(used.serverKey[:], authMessage)
	return []byte("v=" + base64.StdEncoding.EncodeToString(signature[:])), nil
}

// proves tells whether a client's proof is that of the password: ClientKey = ClientProof XOR ClientSignature, and
// H(ClientKey) must be StoredKey (RFC 5802 section 3). All passwords of a user have the same salt and count, so that a
// client's proof can be held against each of them.
func (p *proof) proves(given [sha256.Size]byte, authMessage []byte) bool {
	clientKey := mac(p.storedKey[:], authMessage)
	subtle.XORBytes(clientKey[:], clientKey[:], given[:])
	storedKey := sha256.Sum256(clientKey[:])
	return hmac.Equal(storedKey[:], p.storedKey[:])
}

// checkBinding compares the client's "c=" with what it has to be. Without channel binding that is the GS2 header
// alone, so that nobody can have changed the flag in it on the way.
func (x *Exchange) checkBinding(given string) error {
	want := []byte(x.gs2)
	if x.bound {
		want = append(want, x.binding...)
	}
	if subtle.ConstantTimeCompare([]byte(given), []byte(base64.StdEncoding.EncodeToString(want))) == 1 {
		return nil
	}
	if x.bound {
		return &ProtocolError{Fault: Binding, Message: "SCRAM channel binding check failed"}
	}
	return &ProtocolError{
		Fault: Malformed, Message: "unexpected SCRAM channel-binding attribute in client-final-message",
	}
}

func errState() error {
	return &ProtocolError{Fault: Malformed, Message: "invalid SCRAM exchange state"}
}

func deriveSCRAM(password string, salt []byte, iterations int) (stored, server [sha256.Size]byte, err error) {
	salted, err := pbkdf2.Key(sha256.New, saslPrep(password), salt, iterations, sha256.Size)
	if err != nil {
		return stored, server, err
	}
	clientKey := mac(salted, []byte("Client Key"))
	return sha256.Sum256(clientKey[:]), mac(salted, []byte("Server Key")), nil
}

func mac(key, text []byte) (sum [sha256.Size]byte) {
	m := hmac.New(sha256.New, key)
	m.Write(text)
	m.Sum(sum[:0])
	return sum
}
