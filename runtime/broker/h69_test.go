package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/statefile"
)

// copied has a broker keep what is revoked in a file.
func copied(path string) func(*Config) {
	return func(c *Config) { c.Revoked = OpenRevocations(path, time.Now) }
}

// known waits until a broker has read what is revoked.
func known(t testing.TB, all ...*Broker) {
	t.Helper()
	for _, b := range all {
		await(t, "what is revoked is known", b.knowledge.Revoked.Known)
	}
}

func testRevocation(kind RevocationKind, value string) Revocation {
	return Revocation{Kind: kind, Value: value, Reason: "stolen", By: "operator", At: time.Unix(1e9, 0).UTC()}
}

// TestH69AHostAloneRefusesWhomItKnew revokes in a cell of three, ends all of them, and starts one: it has no quorum, and so no bucket.
func TestH69AHostAloneRefusesWhomItKnew(t *testing.T) {
	o, dir := newOverlay(t), t.TempDir()
	var configs []Config
	all := o.cluster(t, func(c *Config) {
		copied(filepath.Join(dir, c.Name))(c)
		configs = append(configs, *c)
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, len(all))
	for _, b := range all {
		go func() { ended <- b.FollowRevocations(ctx) }()
	}
	kv := bucketOf(t, o, all[0], 3)
	known(t, all...)
	banned, other := o.node(t, "n1"), o.node(t, "n2")
	put(t, kv, testRevocation(RevokedIdentity, "n1"))
	for _, b := range all {
		await(t, "the ban", func() bool { return b.knowledge.Revoked.Len() == 1 })
	}
	stop()
	for range all {
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range all {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	one := configs[1]
	copied(filepath.Join(dir, one.Name))(&one)
	b := startBroker(t, one, Decide)
	following(t, b)
	if _, err := o.dial(t, b.ClientURL(), banned); err == nil {
		t.Error("a host that starts alone lets in who is revoked")
	}
	if _, err := o.dial(t, b.ClientURL(), other); err != nil {
		t.Errorf("a host that starts alone keeps out who is not revoked: %v", err)
	}
	// One that is new, or whose copy is damaged, cannot know: nobody but services is let in.
	fresh := o.config(t, copied(filepath.Join(t.TempDir(), "none")))
	lonely := startBroker(t, fresh, Decide)
	following(t, lonely)
	if _, err := o.dial(t, lonely.ClientURL(), other, nats.Timeout(time.Second)); err == nil {
		t.Error("a host that has never known what is revoked lets a node in")
	}
	if _, err := o.dial(t, "", o.service(t, RightFleetService), nats.InProcessServer(lonely.Provider())); err != nil {
		t.Errorf("and keeps services out: %v", err)
	}
	if _, err := o.dial(t, "", other, nats.InProcessServer(lonely.Provider())); err == nil {
		t.Error("from within the process it lets a node in")
	}
}

// TestH69AFreshHostLetsInWhenItHasReadTheBucket holds arrivals until then: who comes early has its turn, and is not refused.
func TestH69AFreshHostLetsInWhenItHasReadTheBucket(t *testing.T) {
	o := newOverlay(t)
	path := filepath.Join(t.TempDir(), "revoked")
	b := o.broker(t, copied(path))
	following(t, b)
	early := make(chan error, 1)
	go func() {
		conn, err := o.dial(t, b.ClientURL(), o.node(t, "early"), nats.Timeout(patience))
		if err == nil {
			conn.Close()
		}
		early <- err
	}()
	await(t, "it waits", func() bool { waiting, _, _ := b.fleet.arrivals.arriving(); return waiting == 1 })
	service, err := o.dial(t, "", o.service(t, RightFleetService), nats.InProcessServer(b.Provider()))
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	js, err := jetstream.New(service)
	if err == nil {
		_, err = js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: revokedBucket})
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := <-early; err != nil {
		t.Errorf("who came early: %v", err)
	}
	known(t, b)
	if again := OpenRevocations(path, time.Now); !again.Known() || again.Fault() != "" {
		t.Errorf("after a restart it knows %t, %s", again.Known(), again.Fault())
	}
}

// TestH69ABucketThatLostARevocationIsCompleted makes the bucket anew under a host that knows more than it has.
func TestH69ABucketThatLostARevocationIsCompleted(t *testing.T) {
	o := newOverlay(t)
	b := o.broker(t, copied(filepath.Join(t.TempDir(), "revoked")))
	following(t, b)
	service, err := o.dial(t, "", o.service(t, RightFleetService), nats.InProcessServer(b.Provider()))
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	js, err := jetstream.New(service)
	if err != nil {
		t.Fatal(err)
	}
	make := func() jetstream.KeyValue {
		kv, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: revokedBucket})
		if err != nil {
			t.Fatal(err)
		}
		return kv
	}
	kv := make()
	put(t, kv, testRevocation(RevokedToken, "t1"))
	put(t, kv, testRevocation(RevokedHost, "h1"))
	await(t, "the bans", func() bool { return b.knowledge.Revoked.Len() == 2 })
	known(t, b)
	if err := js.DeleteKeyValue(t.Context(), revokedBucket); err != nil {
		t.Fatal(err)
	}
	await(t, "the bucket is gone", func() bool { _, err := js.KeyValue(t.Context(), revokedBucket); return err != nil })
	kv = make()
	for _, key := range []string{"id.t1", "host.h1"} {
		await(t, key+" is written again", func() bool { _, err := kv.Get(t.Context(), key); return err == nil })
	}
}

// TestH69ACopyThatIsDamaged says so, keeps what can be read, and does not count as all.
func TestH69ACopyThatIsDamaged(t *testing.T) {
	whole := func(t *testing.T) (path string, content []byte) {
		path = filepath.Join(t.TempDir(), "revoked")
		r := OpenRevocations(path, time.Now)
		if r.Known() {
			t.Fatal("a file that is not there is known")
		}
		for _, err := range []error{r.Learnt(), r.Keep(r.Add(testRevocation(RevokedToken, "t1"))...), r.Keep(r.Add(testRevocation(RevokedToken, "t2"))...)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		content, err := os.ReadFile(path)
		if err != nil || bytes.Count(content, []byte("\n")) != 3 {
			t.Fatalf("%v\n%s", err, content)
		}
		again := OpenRevocations(path, time.Now)
		if again.Len() != 2 || !again.Known() || again.Fault() != "" {
			t.Fatalf("%d %t %s", again.Len(), again.Known(), again.Fault())
		}
		return path, content
	}
	for name, tt := range map[string]struct {
		damage func([]byte) []byte
		left   int
	}{
		"a flipped bit":        {func(b []byte) []byte { b[len(b)-10] ^= 1; return b }, 1},
		"a torn line":          {func(b []byte) []byte { return b[:len(b)-5] }, 1},
		"zeros":                {func(b []byte) []byte { return append(b, make([]byte, 100)...) }, 2},
		"a line without end":   {func(b []byte) []byte { return append(b, strings.Repeat("x", 2*copyLine)...) }, 2},
		"rubbish in the midst": {func(b []byte) []byte { return append([]byte("rubbish\n"), b...) }, 2},
		"a block of rubbish before good lines": {func(b []byte) []byte {
			return append(append(bytes.Repeat([]byte{0xa5}, copyLine+1), '\n'), b...)
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			path, content := whole(t)
			if err := os.WriteFile(path, tt.damage(content), 0o600); err != nil {
				t.Fatal(err)
			}
			r := OpenRevocations(path, time.Now)
			if r.Known() || r.Len() != tt.left || !strings.Contains(r.Fault(), "damaged") {
				t.Errorf("known %t, %d revocations, %q", r.Known(), r.Len(), r.Fault())
			}
			if _, err := os.Stat(path + ".damaged"); err != nil {
				t.Error(err)
			}
			if again := OpenRevocations(path, time.Now); again.Known() || again.Len() != tt.left {
				t.Errorf("started once more: known %t, %d revocations", again.Known(), again.Len())
			}
			if err := r.Learnt(); err != nil || !r.Known() || r.Fault() != "" {
				t.Errorf("after the bucket was read: %v, known %t, %q", err, r.Known(), r.Fault())
			}
		})
	}
	t.Run("says how much could not be read", func(t *testing.T) {
		path, content := whole(t)
		content = append(append(bytes.Repeat([]byte("x"), 3*copyLine), "\nrubbish\n"...), content...)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if fault := OpenRevocations(path, time.Now).Fault(); !strings.Contains(fault, "2 lines of it could not be read") {
			t.Error(fault)
		}
	})
	t.Run("a disk that does not work", func(t *testing.T) {
		r := OpenRevocations(filepath.Join(t.TempDir(), "no", "folder", "revoked"), time.Now)
		err := r.Keep(r.Add(testRevocation(RevokedToken, "t1"))...)
		if err == nil || r.Fault() == "" || !r.Ban(Bearer{TokenID: "t1"}) {
			t.Errorf("%v, %q", err, r.Fault())
		}
	})
}

// TestH69APipeInPlaceOfTheCopyHoldsNobodyUp puts a pipe where the file is: before the start, when it counts as damaged, and while the
// broker works, when what is revoked counts and the copy says that it cannot be written.
func TestH69APipeInPlaceOfTheCopyHoldsNobodyUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "revoked")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	opened := make(chan *Revocations, 1)
	go func() { opened <- OpenRevocations(path, time.Now) }()
	var r *Revocations
	await(t, "the copy is opened", func() bool {
		select {
		case r = <-opened:
		default:
		}
		return r != nil
	})
	if r.Known() || !strings.Contains(r.Fault(), "no regular file") {
		t.Errorf("before the start: known %t, %q", r.Known(), r.Fault())
	}
	if err := r.Learnt(); err != nil || !r.Known() {
		t.Errorf("after the bucket was read: %v, known %t", err, r.Known())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	kept := make(chan error, 1)
	go func() { kept <- r.Keep(r.Add(testRevocation(RevokedToken, "t1"))...) }()
	done := false
	await(t, "the pipe is found", func() bool {
		select {
		case err := <-kept:
			done = true
			if err == nil {
				t.Error("a revocation is kept in a pipe")
			}
		default:
		}
		return done
	})
	if !r.Known() || !r.Ban(Bearer{TokenID: "t1"}) || !strings.Contains(r.Fault(), "no regular file") {
		t.Errorf("while it works: known %t, %q", r.Known(), r.Fault())
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := r.Keep(); err != nil || OpenRevocations(path, time.Now).Len() != 1 {
		t.Errorf("what could not be kept is not kept later: %v", err)
	}
}

// TestH69ADiskThatHangsHoldsUpNoLogin lets the disk never answer while a revocation is written: logins ask who is revoked meanwhile.
func TestH69ADiskThatHangsHoldsUpNoLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := OpenRevocations(filepath.Join(t.TempDir(), "revoked"), time.Now)
		if err := r.Learnt(); err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		add := r.copied.add
		r.copied.add = func([]byte) error { <-release; return nil }
		began, kept := time.Now(), make(chan error, 1)
		go func() { kept <- r.Keep(r.Add(testRevocation(RevokedToken, "t1"))...) }()
		synctest.Wait()
		if !r.Known() || !r.Ban(Bearer{TokenID: "t1"}) || r.Fault() != "" || time.Since(began) != 0 {
			t.Errorf("while the disk is written to: known %t, %q", r.Known(), r.Fault())
		}
		if err := <-kept; !errors.Is(err, statefile.ErrHangs) || !strings.Contains(r.Fault(), "does not answer") {
			t.Errorf("after %s: %v, %q", time.Since(began), err, r.Fault())
		}
		if err := r.Keep(r.Add(testRevocation(RevokedToken, "t2"))...); !errors.Is(err, statefile.ErrHangs) || time.Since(began) != statefile.Patience {
			t.Errorf("the next one, after %s: %v", time.Since(began), err)
		}
		close(release)
		synctest.Wait()
		r.copied.add = add
		if err := r.Keep(); err != nil || r.Fault() != "" {
			t.Errorf("after the disk has answered: %v, %q", err, r.Fault())
		}
	})
}

// TestH69ALongReasonIsKept: a control character takes six bytes in the copy, and a revocation that has no room there would not be known after a restart.
func TestH69ALongReasonIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "revoked")
	long := testRevocation(RevokedToken, strings.Repeat("t", 253))
	long.Reason, long.By = strings.Repeat("\x01", 5000), strings.Repeat("é<", 5000)
	r := OpenRevocations(path, time.Now)
	if err := r.Keep(r.Add(long)...); err != nil {
		t.Fatal(err)
	}
	if again := OpenRevocations(path, time.Now); !again.Ban(Bearer{TokenID: long.Value}) || again.Fault() != "" {
		t.Errorf("after a restart it is not banned: %s", again.Fault())
	}
}

// TestH69RevocationsNameAPurpose bans a node of a host's name, and not the host.
func TestH69RevocationsNameAPurpose(t *testing.T) {
	node, host, client := Bearer{Purpose: identity.PurposeNode, Identity: "ov3"}, Bearer{Purpose: identity.PurposeService, Identity: "ov3"},
		Bearer{Purpose: identity.PurposeClient, Identity: "ov3"}
	for name, tt := range map[string]struct {
		r    Revocation
		bans []Bearer
	}{
		"of an earlier release": {Revocation{Kind: RevokedIdentity, Value: "ov3"}, []Bearer{node, host, client}},
		"a node":                {Revocation{Kind: RevokedIdentity, Value: "ov3", Purpose: identity.PurposeNode}, []Bearer{node}},
		"a host":                {Revocation{Kind: RevokedHost, Value: "ov3"}, []Bearer{host}},
		"a client":              {Revocation{Kind: RevokedClient, Value: "ov3"}, []Bearer{client}},
	} {
		tt.r.By, tt.r.At = "x", time.Unix(1e9, 0)
		value, err := tt.r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		read, err := readRevocation(tt.r.Key(), value)
		if err != nil {
			t.Fatal(err)
		}
		set := NewRevocations(read)
		var got []string
		for _, b := range []Bearer{node, host, client} {
			if set.Ban(b) {
				got = append(got, string(b.Purpose))
			}
		}
		var want []string
		for _, b := range tt.bans {
			want = append(want, string(b.Purpose))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: bans %v, want %v", name, got, want)
		}
	}
}

// FuzzRevokedCopy reads what may have become of the file.
func FuzzRevokedCopy(f *testing.F) {
	at := time.Unix(1e9, 0).UTC()
	f.Add(copyEntry{Read: &at}.encode())
	f.Add(append(copyEntry{Key: "id.x", Value: []byte(`{"by":"a","at":"2030-01-01T12:00:00Z"}`)}.encode(), 'x'))
	f.Fuzz(func(t *testing.T, content []byte) {
		entries, _ := parseCopy(bytes.NewReader(content))
		for _, e := range entries {
			if line := e.encode(); line != nil {
				if again, err := parseCopy(bytes.NewReader(line)); err != nil || len(again) != 1 || again[0].Key != e.Key {
					t.Errorf("%q is read as %+v, %v", line, again, err)
				}
			}
		}
	})
}
