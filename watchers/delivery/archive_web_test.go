package delivery

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/statecraft-io/statecraft/machine/strict"
	"github.com/statecraft-io/statecraft/registry/archivetest"
	"github.com/statecraft-io/statecraft/watchers"
)

func TestC19AttacksOverHTTPS(t *testing.T) {
	a, old := newArchiveTest(t), bundleOf(t, "1.0.0")
	a.check(a.web(old, sends(old.Data)), watchers.Started, outcomeDeployed)
	for _, attack := range archivetest.Attacks() {
		a.fails(a.web(attacked(attack.Archive), sends(attack.Archive)), attack.Because)
		a.runs(old)
	}
}

// TestC19ServersThatAttack are what a server can do beside sending a wrong archive.
func TestC19ServersThatAttack(t *testing.T) {
	b := bundleOf(t, "1.0.0")
	other, _ := serve(t, sends(b.Data))
	page := "<!DOCTYPE html><html><body>Sign in</body></html>"
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		because string
	}{
		{"error page with status 200", sends([]byte(page)), "it looks like text/html, as an error page does"},
		{"nothing", sends(nil), "it is empty"},
		{"other archive", sends(bundleOf(t, "6.6.6").Data), "it is a gzip archive: compare the checksum"},
		{"not found", http.NotFound, "answers 404 Not Found"},
		{"not allowed", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, "answers 401 Unauthorized; check username"},
		{"partial", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(b.Data)
		}, "answers 206"},
		{"shorter than it says", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(b.Data)+1))
			_, _ = w.Write(b.Data)
		}, "unexpected EOF"},
		{"shorter than signed", sends(b.Data[:len(b.Data)-1]), "the digest is another"},
		{"longer than signed", sends(append(b.Data[:len(b.Data):len(b.Data)], 'x')), "the digest is another"},
		{"too long by what it says", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100000000")
			w.WriteHeader(http.StatusOK)
		}, "offers 100000000 bytes, 67108864 are allowed"},
		{"redirect to another host", redirect(other.URL + "/web.tar.gz"), "sends us to another host"},
		{"redirect to the same host without TLS", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+r.Host+"/x", http.StatusFound)
		}, "sends us to another host or to plain http"},
		{"redirect with credentials", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://a:b@"+r.Host+"/x", http.StatusFound)
		}, "sends us to another host"},
		{"redirect for ever", redirect("/again"), "more than 5 times"},
		{"endless headers", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
		}, "header"},
		{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newArchiveTest(t)
			a.fails(a.web(b, tt.handler), tt.because)
		})
	}
}

func TestC18EndlessDataOverHTTPS(t *testing.T) {
	a, b := newArchiveTest(t), bundleOf(t, "1.0.0")
	block := make([]byte, 1<<20)
	left := make(chan struct{})
	a.fails(a.web(b, func(w http.ResponseWriter, _ *http.Request) {
		defer close(left)
		for {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}), "more than is allowed: beyond the limit")
	select {
	case <-left:
	case <-time.After(archivePatience):
		t.Error("the server is read for ever")
	}
}

// TestC19SlowLoris has servers that are silent at each point: the property timeout ends that, whatever the look's own.
func TestC19SlowLoris(t *testing.T) {
	b := bundleOf(t, "1.0.0")
	for name, before := range map[string]func(w http.ResponseWriter){
		"before the answer": func(http.ResponseWriter) {},
		"in the content": func(w http.ResponseWriter) {
			_, _ = w.Write(b.Data[:10])
			w.(http.Flusher).Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newArchiveTest(t)
			done := make(chan struct{})
			w := a.web(b, func(w http.ResponseWriter, _ *http.Request) {
				before(w)
				<-done
			})
			w.spec.Timeout = strict.Duration(100 * time.Millisecond)
			r := a.check(w, watchers.Started, "fail")
			close(done)
			if !strings.Contains(r.Message, "silent") && !strings.Contains(r.Message, "timeout") {
				t.Errorf("fails with %q", r.Message)
			}
		})
	}
}

// slowly gives one byte at a time, each after a while.
type slowly struct {
	left int
	wait time.Duration
}

func (s *slowly) Read(p []byte) (int, error) {
	<-time.After(s.wait)
	if s.left--; s.left < 0 {
		return 0, io.EOF
	}
	return copy(p, "x"), nil
}

// TestSlowIsNotSilent holds that the time-out is for each read, not for all of them.
func TestSlowIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for wait, want := range map[time.Duration]bool{4 * time.Second: false, 6 * time.Second: true} {
			var rang atomic.Bool
			body := &alive{from: &slowly{left: 100, wait: wait}, limit: 5 * time.Second, left: 1000}
			body.bell = time.AfterFunc(body.limit, func() { rang.Store(true) })
			n, err := io.Copy(io.Discard, body)
			body.bell.Stop()
			synctest.Wait()
			if n != 100 || err != nil || rang.Load() != want {
				t.Errorf("with %s between bytes: %d bytes, %v, silent %t", wait, n, err, rang.Load())
			}
		}
	})
}

// TestC19Trickle has a server that is never silent for long: the look's own time-out ends that.
func TestC19Trickle(t *testing.T) {
	a, b := newArchiveTest(t), bundleOf(t, "1.0.0")
	ctx, cancel := context.WithCancel(t.Context())
	w := a.web(b, func(w http.ResponseWriter, r *http.Request) {
		for n := 0; ; n++ {
			if _, err := w.Write([]byte("x")); err != nil || r.Context().Err() != nil {
				return
			}
			w.(http.Flusher).Flush()
			if n == 10 {
				cancel() // as the time-out does
				<-r.Context().Done()
			}
		}
	})
	if r := w.Check(ctx, a.look(watchers.Started)); r.Outcome != "fail" || !strings.Contains(r.Message, context.Canceled.Error()) {
		t.Errorf("reports %s: %s", r.Outcome, r.Message)
	}
}

// TestCredentialsStayHidden holds that they are sent, and to nobody else than the source, and shown nowhere.
func TestCredentialsStayHidden(t *testing.T) {
	a, b := newArchiveTest(t), bundleOf(t, "1.0.0")
	answer := http.NotFound
	w := a.web(b, func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != "robot" || password != "s3cret" {
			t.Errorf("is asked by %q with %q", user, password)
		}
		if r.Header.Get("Accept-Encoding") == "gzip" {
			t.Error("asks for a compressed archive")
		}
		answer(w, r)
	})
	w.spec.Username, w.spec.Password = watchers.PlainText("robot"), watchers.PlainText("s3cret")
	w.spec.Source = watchers.PlainText(w.spec.Source.String() + "?token=t0ken")
	encoded := base64.StdEncoding.EncodeToString([]byte("robot:s3cret"))
	for name, h := range map[string]http.HandlerFunc{
		"status": http.NotFound, "nothing": sends(nil), "hang up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://other.example/?token=t0ken", http.StatusFound)
		},
	} {
		answer = h
		text := a.fails(w, "deploying web")
		for _, secret := range []string{"s3cret", "t0ken", encoded} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: %q shows %q", name, text, secret)
			}
		}
	}
	answer = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/web.tar.gz" {
			http.Redirect(w, r, "/v1/web.tar.gz", http.StatusFound)
			return
		}
		_, _ = w.Write(b.Data)
	}
	a.check(w, watchers.Entered, outcomeDeployed)
	a.runs(b)
}

func TestCertificates(t *testing.T) {
	a, b := newArchiveTest(t), bundleOf(t, "1.0.0")
	w := a.web(b, sends(b.Data))
	ca := w.spec.CA.String()
	w.spec.CA = watchers.PlainText("")
	a.fails(w, "certificate")
	w.spec.CA = watchers.PlainText(strings.ReplaceAll(ca, "-----", "====="))
	a.fails(w, "ca: ca is certificates")
	path := filepath.Join(t.TempDir(), "ca.pem")
	w.spec.CA = watchers.PlainText(path)
	a.fails(w, "reading ca")
	if err := os.WriteFile(path, []byte(ca), 0o600); err != nil {
		t.Fatal(err)
	}
	a.check(w, watchers.Entered, outcomeDeployed)
}

func TestInsecure(t *testing.T) {
	b := bundleOf(t, "1.0.0")
	a := newArchiveTest(t)
	w := a.web(b, sends(b.Data))
	w.spec.CA, w.spec.Insecure = watchers.Text{}, true
	a.check(w, watchers.Started, outcomeDeployed)
	plain := httptest.NewServer(sends(b.Data))
	t.Cleanup(plain.Close)
	a = newArchiveTest(t)
	w = a.watcher(a.spec(b, plain.URL))
	a.fails(w, "needs insecure: true")
	w.spec.Insecure, w.spec.Username, w.spec.Password = true, watchers.PlainText("robot"), watchers.PlainText("s3cret")
	a.fails(w, "not sent without TLS")
	w.spec.Username, w.spec.Password = watchers.Text{}, watchers.Text{}
	a.check(w, watchers.Started, outcomeDeployed)
}

// TestWebLeavesNothing looks for goroutines and files after downloads of all sizes.
func TestWebLeavesNothing(t *testing.T) {
	a := newArchiveTest(t)
	large := []byte(strings.Repeat("no archive", 300_000))
	s, ca := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			_, _ = w.Write(large)
		}
	})
	before := goleak.IgnoreCurrent()
	for _, path := range []string{"/", "/large"} {
		spec := a.spec(attacked(large), s.URL+path)
		spec.CA = watchers.PlainText(ca)
		a.fails(a.watcher(spec), "web")
	}
	if err := goleak.Find(before); err != nil && !strings.Contains(err.Error(), "net/http.(*Server)") && !strings.Contains(err.Error(), "net/http.(*conn)") {
		t.Error(err)
	}
}

func TestSpool(t *testing.T) {
	made := 0
	s := newSpool(func() (*os.File, error) {
		made++
		return os.CreateTemp(t.TempDir(), "")
	})
	defer s.close()
	for _, at := range []int64{10, 0, spoolMemory - 1, spoolMemory} {
		if n, err := s.WriteAt([]byte{byte(at % 251)}, at); n != 1 || err != nil {
			t.Errorf("writing at %d: %d, %v", at, n, err)
		}
		if want := at == spoolMemory; (made == 1) != want {
			t.Errorf("after writing at %d there are %d files", at, made)
		}
		one := []byte{0}
		if n, err := s.ReadAt(one, at); n != 1 || err != nil || one[0] != byte(at%251) {
			t.Errorf("reading at %d: %v, %d, %v", at, one, n, err)
		}
	}
	if s.size() != spoolMemory+1 {
		t.Errorf("size %d", s.size())
	}
	cause := errors.New("disk full")
	full := newSpool(func() (*os.File, error) { return nil, cause })
	if _, err := full.WriteAt([]byte("x"), spoolMemory); !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
}
