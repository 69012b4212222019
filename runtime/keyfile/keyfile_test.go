package keyfile

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/statecraft-io/statecraft/runtime/identity"
)

func newKey(t *testing.T) *identity.Key {
	t.Helper()
	k, err := identity.NewKey()
	must(t, err)
	return k
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.key")
	must(t, identity.WriteFile(path, content))
	return path
}

func answering(phrase string) Opener {
	return Opener{Passphrase: func(string) ([]byte, error) { return []byte(phrase), nil }}
}

func TestAKeyWithAPassphrase(t *testing.T) {
	k := newKey(t)
	content, err := Protect(k, []byte("correct horse"))
	must(t, err)
	seed, err := k.Seed()
	must(t, err)
	if bytes.Contains(content, fmt.Appendf(nil, "%x", seed)) {
		t.Error("the seed is in the file")
	}
	path := write(t, content)
	if _, err := identity.LoadKey(path); !errors.Is(err, identity.ErrDamaged) || !strings.Contains(err.Error(), "passphrase") {
		t.Errorf("a host reads it as %v", err)
	}
	again, err := answering("correct horse").Open(path)
	if err != nil || again.Public() != k.Public() {
		t.Errorf("with the passphrase: %v %v", again, err)
	}
	if _, err := answering("battery staple").Open(path); !errors.Is(err, ErrPassphrase) {
		t.Errorf("with another one: %v", err)
	}
	if _, err := (Opener{}).Open(path); !errors.Is(err, ErrPassphrase) {
		t.Errorf("with nobody to ask: %v", err)
	}
	if public, err := Public(path); err != nil || public != k.Public() {
		t.Errorf("the public key: %v %v", public, err)
	}
	if _, err := answering("x").Open(write(t, content[:len(content)/2])); !errors.Is(err, identity.ErrDamaged) {
		t.Errorf("cut in half: %v", err)
	}
}

// TestOpenSSHReadsAndMakesThem holds the format against ssh-keygen.
func TestOpenSSHReadsAndMakesThem(t *testing.T) {
	keygen, err := exec.LookPath("ssh-keygen")
	if err != nil {
		t.Skip("NOT RUN: ssh-keygen is not installed")
	}
	k := newKey(t)
	content, err := Protect(k, []byte("one"))
	must(t, err)
	path := write(t, content)
	if out, err := exec.Command(keygen, "-p", "-P", "one", "-N", "two", "-f", path).CombinedOutput(); err != nil {
		t.Fatalf("changing the passphrase: %v\n%s", err, out)
	}
	if again, err := answering("two").Open(path); err != nil || again.Public() != k.Public() {
		t.Errorf("after ssh-keygen has changed the passphrase: %v %v", again, err)
	}
	made := filepath.Join(t.TempDir(), "made")
	if out, err := exec.Command(keygen, "-q", "-t", "ed25519", "-N", "three", "-f", made).CombinedOutput(); err != nil {
		t.Fatalf("making a key: %v\n%s", err, out)
	}
	if _, err := answering("three").Open(made); err != nil {
		t.Error(err)
	}
	other := filepath.Join(t.TempDir(), "rsa")
	if out, err := exec.Command(keygen, "-q", "-t", "rsa", "-b", "2048", "-N", "three", "-f", other).CombinedOutput(); err != nil {
		t.Fatalf("making a key: %v\n%s", err, out)
	}
	if _, err := answering("three").Open(other); err == nil || !strings.Contains(err.Error(), "not an ed25519 key") {
		t.Errorf("a key of another kind: %v", err)
	}
}

// helped is a key whose private half a program has, started as a script of sh.
func helped(t *testing.T, k *identity.Key, timeout, script string) *identity.Key {
	t.Helper()
	content, err := Helper{Command: []string{"/bin/sh", "-c", script}, PublicKey: k.Public().String(), Timeout: timeout}.Encode()
	must(t, err)
	opened, err := (Opener{}).Open(write(t, content))
	must(t, err)
	return opened
}

// TestOpensslSigns has a program of others have the key.
func TestOpensslSigns(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("NOT RUN: openssl is not installed")
	}
	k, dir := newKey(t), t.TempDir()
	seed, err := k.Seed()
	must(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(seed))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	h := helped(t, k, "", fmt.Sprintf(`cd %s && tee request | sed 's/.*"message":"\([^"]*\)".*/\1/' | base64 -d > message &&
		printf '{"signature":"%%s"}' "$(openssl pkeyutl -sign -rawin -inkey key.pem -in message | base64 -w0)"`, dir))
	message := dsse.PAE("application/vnd.statecraft.spec+json", []byte(`{"serial":7}`))
	signature, err := h.SignMessage(message)
	if err != nil || !k.Public().Verify(message, signature) {
		t.Fatalf("openssl has signed %x: %v", signature, err)
	}
	var r Request
	text, err := os.ReadFile(filepath.Join(dir, "request"))
	must(t, err)
	must(t, json.Unmarshal(text, &r))
	if r.Protocol != HelperProtocol || r.Purpose != "spec" || r.PublicKey != k.Public().String() || len(r.Digest) != 64 {
		t.Errorf("it was asked %+v", r)
	}
	for payload, want := range map[string]string{`{"channel":"folder"}`: "folder", `{"channel":"default"}`: "spec"} {
		if got := purposeOf(dsse.PAE("application/vnd.statecraft.spec+json", []byte(payload))); got != want {
			t.Errorf("the purpose of %s is %s", payload, got)
		}
	}
	token, err := (&identity.Signer{Key: h}).Sign(identity.Claims{
		Purpose: identity.PurposeClient, Subject: "a", PublicKey: newKey(t).Public().String(), Cell: "c", IssuedAt: time.Now(), Expires: time.Now().Add(time.Hour),
	})
	if err != nil || token == "" {
		t.Errorf("a token: %v", err)
	}
	text, err = os.ReadFile(filepath.Join(dir, "request"))
	must(t, err)
	if !bytes.Contains(text, []byte(`"purpose":"token:client"`)) {
		t.Errorf("for a token it was asked %s", text)
	}
}

// TestHelpersThatMisbehave never makes a document with a signature that does not hold, and waits for none without end.
func TestHelpersThatMisbehave(t *testing.T) {
	k := newKey(t)
	wrong := base64.StdEncoding.EncodeToString(k.Sign([]byte("something else")))
	started := filepath.Join(t.TempDir(), "pid")
	for _, tt := range []struct{ name, timeout, script, want string }{
		{"hangs", "300ms", "sleep 600 & echo $! > " + started + "; echo waiting for a touch >&2; wait", "has not signed within 300ms and was ended: waiting for a touch"},
		{"signs something else", "", `printf '{"signature":"` + wrong + `"}'`, "no signature by the key"},
		{"answers no JSON", "", "echo done", "has not answered"},
		{"answers no base64", "", `echo '{"signature":"?"}'`, "is not base64"},
		{"says nothing", "", "true", "has not answered"},
		{"says too much", "", "head -c 1000000 /dev/zero", "more than 4096 bytes"},
		{"refuses", "", "echo no such slot >&2; exit 7", "does not sign: exit status 7: no such slot"},
		{"dies", "", "kill -9 $$", "signal: killed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := helped(t, k, tt.timeout, tt.script).SignMessage([]byte("message"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	pid, err := os.ReadFile(started)
	must(t, err)
	awaitEnd(t, pid)
	if _, err := (&identity.Signer{Key: helped(t, k, "", "exit 1")}).Sign(identity.Claims{
		Purpose: identity.PurposeClient, Subject: "a", PublicKey: k.Public().String(), Cell: "c", IssuedAt: time.Now(), Expires: time.Now().Add(time.Hour),
	}); err == nil {
		t.Error("a token was signed by nobody")
	}
}

// awaitEnd waits until the process has ended.
func awaitEnd(t *testing.T, pid []byte) {
	t.Helper()
	for until := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			return
		}
		if time.Now().After(until) {
			t.Fatal("what the helper has started still runs")
		}
	}
}

// TestAHelperEndsWithWhoWaitsForIt: when the context of the opener ends the program that signs is ended, with what it has started, and the error is that of the context.
func TestAHelperEndsWithWhoWaitsForIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	started := filepath.Join(t.TempDir(), "pipe")
	must(t, syscall.Mkfifo(started, 0o600))
	content, err := Helper{Command: []string{"/bin/sh", "-c", "sleep 600 & echo $! > " + started + "; wait"}, PublicKey: newKey(t).Public().String()}.Encode()
	must(t, err)
	k, err := Opener{Context: ctx}.Open(write(t, content))
	must(t, err)
	signed := make(chan error, 1)
	go func() {
		_, err := k.SignMessage([]byte("message"))
		signed <- err
	}()
	pid, err := os.ReadFile(started) // waits until it has started
	must(t, err)
	cancel()
	if err := <-signed; !errors.Is(err, context.Canceled) {
		t.Errorf("it has signed, or ended otherwise: %v", err)
	}
	awaitEnd(t, pid)
}

// TestAChildOfItsOwnSessionHoldsNobodyUp: what a helper has started in a session of its own, such as an agent, goes on, and is not listened to any more when the helper's time is over.
func TestAChildOfItsOwnSessionHoldsNobodyUp(t *testing.T) {
	k := newKey(t)
	dir := t.TempDir()
	for name, then := range map[string]string{"hung": "exec sleep 600", "ended": "exit 3"} {
		closed := filepath.Join(dir, name)
		child := `trap "" PIPE; while echo x; do sleep 0.05; done 2>/dev/null; : > ` + closed
		if _, err := helped(t, k, "300ms", "setsid sh -c '"+child+"' & "+then).SignMessage([]byte("message")); err == nil {
			t.Errorf("%s: nobody has signed", name)
		}
		for until := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(closed); err == nil {
				break
			}
			if time.Now().After(until) {
				t.Fatalf("%s: the child still has the pipe", name)
			}
		}
	}
}

func TestHelperFilesThatCannotBe(t *testing.T) {
	public := newKey(t).Public().String()
	for _, text := range []string{
		`{}`, `{"helper":["sign"],"public_key":"` + public + `"}`, `{"helper":["/bin/true"],"public_key":"ab"}`,
		`{"helper":["/bin/true"],"public_key":"` + public + `","timeout":"1h"}`, `{"helper":["/bin/true"],"public_key":"` + public + `","seed":"x"}`, `{"helper":`,
	} {
		if _, err := (Opener{}).Open(write(t, []byte(text))); !errors.Is(err, identity.ErrDamaged) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
