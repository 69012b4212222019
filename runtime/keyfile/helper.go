package keyfile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/identity"
)

// Helper is a key file that names a program which has the key.
type Helper struct {
	Command   []string `json:"helper"`            // the program and its arguments; no shell is involved
	PublicKey string   `json:"public_key"`        // 64 hexadecimal digits
	Timeout   string   `json:"timeout,omitempty"` // as 30s, which it is without one
}

// Request is what a helper is given on standard input, as one line of JSON.
type Request struct {
	Protocol  string `json:"protocol"`   // HelperProtocol
	PublicKey string `json:"public_key"` // who signs
	// Purpose is what is signed, as the message itself says: root, spec, folder (a spec that vouches for a machine's folder), token:PURPOSE, or unknown.
	Purpose string `json:"purpose"`
	Message string `json:"message"` // the bytes to sign, base64: ed25519 takes them whole
	Digest  string `json:"digest"`  // their SHA-256 in hexadecimal digits, to show and to log
}

// HelperProtocol is that of requests to helpers.
const HelperProtocol = "io.statecraft.sign.v1"

const (
	helperTimeout = 30 * time.Second
	maxTimeout    = 10 * time.Minute // somebody may have to touch a token
	maxAnswer     = 4 << 10          // bytes of each of a helper's outputs
)

// Encode is the content of the key file.
func (h Helper) Encode() ([]byte, error) {
	if _, err := h.read(""); err != nil {
		return nil, err
	}
	text, err := json.Marshal(h)
	return append(text, '\n'), err
}

// helper is a Helper that was read.
type helper struct {
	command []string
	public  identity.PublicKey
	timeout time.Duration
}

func parseHelper(path string, content []byte) (*helper, error) {
	var h Helper
	dec := json.NewDecoder(bytes.NewReader(content))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&h); err != nil {
		return nil, fmt.Errorf("reading the key %s: %w: %w", path, identity.ErrDamaged, err)
	}
	return h.read(path)
}

func (h Helper) read(path string) (*helper, error) {
	wrong := func(format string, args ...any) (*helper, error) {
		if err := fmt.Errorf(format, args...); path == "" { // what is to be written
			return nil, err
		}
		return nil, fmt.Errorf("reading the key %s: %w: %w", path, identity.ErrDamaged, fmt.Errorf(format, args...))
	}
	if len(h.Command) == 0 || !strings.HasPrefix(h.Command[0], "/") {
		return wrong("helper is the absolute path of a program, and its arguments")
	}
	public, err := identity.ParsePublicKey(h.PublicKey)
	if err != nil {
		return wrong("public_key: %w", err)
	}
	timeout := helperTimeout
	if h.Timeout != "" {
		if timeout, err = time.ParseDuration(h.Timeout); err != nil || timeout <= 0 || timeout > maxTimeout {
			return wrong("timeout: %q is no time of up to %s, such as 30s", h.Timeout, maxTimeout)
		}
	}
	return &helper{command: h.Command, public: public, timeout: timeout}, nil
}

// sign has the program sign a message; whether it has is for its caller to verify. The program and all that it has started in its process
// group are ended when its time is over, or ctx ends.
func (h *helper) sign(ctx context.Context, message []byte) ([]byte, error) {
	sum := sha256.Sum256(message)
	request, err := json.Marshal(Request{
		Protocol: HelperProtocol, PublicKey: h.public.String(), Purpose: purposeOf(message),
		Message: base64.StdEncoding.EncodeToString(message), Digest: hex.EncodeToString(sum[:]),
	})
	if err != nil {
		return nil, err
	}
	if err := identity.CheckRead(h.command[0]); err != nil {
		return nil, fmt.Errorf("the helper is not started: %w", err)
	}
	given := ctx
	ctx, cancel := context.WithTimeout(given, h.timeout)
	defer cancel()
	var out, errs bounded
	c := exec.CommandContext(ctx, h.command[0], h.command[1:]...)
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(append(request, '\n')), &out, &errs
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = time.Second
	err = c.Run()
	name := h.command[0]
	said := ""
	if text := strings.TrimSpace(string(errs.kept)); text != "" {
		said = ": " + diag.Brief(text, diag.MaxBrief)
	}
	var exit *exec.ExitError
	switch {
	case given.Err() != nil:
		return nil, fmt.Errorf("the helper %s was ended before it had signed: %w", name, context.Cause(given))
	case ctx.Err() != nil:
		return nil, fmt.Errorf("the helper %s has not signed within %s and was ended%s", name, h.timeout, said)
	case errors.As(err, &exit):
		return nil, fmt.Errorf("the helper %s does not sign: %s%s", name, exit.ProcessState, said)
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return nil, fmt.Errorf("running the helper: %w", err)
	case out.over:
		return nil, fmt.Errorf("the helper %s has answered with more than %d bytes", name, maxAnswer)
	}
	var answer struct {
		Signature string `json:"signature"` // base64
	}
	if err := json.Unmarshal(out.kept, &answer); err != nil {
		return nil, fmt.Errorf(`the helper %s has not answered {"signature": "..."}: %w`, name, err)
	}
	signature, err := base64.StdEncoding.DecodeString(answer.Signature)
	if err != nil {
		return nil, fmt.Errorf("the signature of the helper %s is not base64: %w", name, err)
	}
	return signature, nil // identity.RemoteKey holds it against the key
}

// purposeOf is what a message is, as it says itself: an envelope of DSSE or a token.
func purposeOf(message []byte) string {
	if rest, ok := bytes.CutPrefix(message, []byte("DSSEv1 ")); ok {
		parts := bytes.SplitN(rest, []byte(" "), 3)
		if len(parts) == 3 {
			text := strings.TrimPrefix(string(parts[1]), "application/vnd.statecraft.")
			return orFolder(strings.TrimSuffix(text, "+json"), parts[2])
		}
	}
	if _, claims, ok := bytes.Cut(message, []byte(".")); ok {
		var c struct {
			Purpose string `json:"purpose"`
		}
		if text, err := base64.RawURLEncoding.DecodeString(string(claims)); err == nil && json.Unmarshal(text, &c) == nil && c.Purpose != "" {
			return "token:" + c.Purpose
		}
	}
	return "unknown"
}

// orFolder is a purpose, or folder where a spec is one that vouches for a machine's folder.
func orFolder(purpose string, rest []byte) string {
	var s struct {
		Channel string `json:"channel"`
	}
	_, payload, _ := bytes.Cut(rest, []byte(" ")) // behind its length
	if purpose == "spec" && json.Unmarshal(payload, &s) == nil && s.Channel == registry.FolderChannel {
		return "folder"
	}
	return purpose
}

// bounded keeps what fits, and takes the rest so that who writes it goes on.
type bounded struct {
	kept []byte // not a bytes.Buffer inside, whose ReadFrom would take all
	over bool
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), maxAnswer-len(b.kept))
	b.kept, b.over = append(b.kept, p[:n]...), b.over || n < len(p)
	return len(p), nil
}
