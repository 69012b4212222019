package control_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/runtime/control"
)

func post(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

const firePath = "/v1/machines/pump/fire"

func TestBrokenRequestsGetTheNextStep(t *testing.T) {
	s := serve(t, pump)
	for name, c := range map[string]struct {
		request string
		status  int
	}{
		"no HTTP":           {"hello\r\n\r\n", 400},
		"binary":            {"\x00\xff\x16\x03\x01\r\n\r\n", 400},
		"no host":           {"GET /v1/health HTTP/1.1\r\n\r\n", 400},
		"bad version":       {"GET /v1/health HTTP/7.1\r\nHost: x\r\n\r\n", 505},
		"bad header":        {"GET /v1/health HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n", 400},
		"large header":      {"GET /v1/health HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", 431},
		"expectation":       {"GET /v1/health HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n", 417},
		"coding":            {"POST " + firePath + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: zip\r\n\r\n", 501},
		"two lengths":       {"POST " + firePath + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
		"unknown path":      {"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n", 404},
		"unclean path":      {"GET //v1/health HTTP/1.1\r\nHost: x\r\n\r\n", 404},
		"dots":              {"GET /v1/machines/../health HTTP/1.1\r\nHost: x\r\n\r\n", 404},
		"trailing slash":    {"GET /v1/machines/ HTTP/1.1\r\nHost: x\r\n\r\n", 404},
		"star":              {"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404},
		"connect":           {"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", 404},
		"method":            {"DELETE /v1/health HTTP/1.1\r\nHost: x\r\n\r\n", 405},
		"get for post":      {"GET " + firePath + " HTTP/1.1\r\nHost: x\r\n\r\n", 405},
		"http2":             {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0},
		"no body":           {post(firePath, ""), 400},
		"no JSON":           {post(firePath, "{"), 400},
		"no object":         {post(firePath, `["go"]`), 400},
		"no event":          {post(firePath, `{}`), 400},
		"unknown field":     {post(firePath, `{"event":"go","by":"root"}`), 400},
		"payload no object": {post(firePath, `{"event":"go","payload":3}`), 400},
		"two values":        {post(firePath, `{"event":"go"}{}`), 400},
		"deep":              {post(firePath, `{"event":"go","payload":{"a":`+strings.Repeat("[", 60_000)), 400},
		"large":             {post(firePath, `{"event":"`+strings.Repeat("a", control.MaxBody)+`"}`), 413},
		"bad chunk":         {"POST " + firePath + " HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
		"cut body":          {"POST " + firePath + " HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", 400},
		"unknown machine":   {post("/v1/machines/pmup/fire", `{"event":"go"}`), 404},
	} {
		t.Run(name, func(t *testing.T) {
			statuses, _ := parse(t, c.request, s.send(t, c.request))
			if c.status != 0 && !cmp.Equal([]int{c.status}, statuses) || len(statuses) == 0 {
				t.Errorf("status %v, want %d", statuses, c.status)
			}
		})
	}
	d, err := s.client.Machine(t.Context(), "pump")
	if err != nil || d.State != "idle" || d.Seq != 1 {
		t.Errorf("after broken requests: %+v, %v", d, err)
	}
}

func TestPayloadBeyondTheLimitIsARecordedRefusal(t *testing.T) {
	s := serve(t, pump)
	a, err := s.client.Fire(t.Context(), "pump", control.FireRequest{Event: "go", Payload: map[string]any{"a": strings.Repeat("x", 70<<10)}})
	if err != nil || !strings.Contains(string(a.Record), "65536") {
		t.Errorf("answer %s, %v", a.Record, err)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	s := serve(t, pump)
	var open []net.Conn
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	for range 64 {
		c, err := net.Dial("unix", control.SocketPath(s.dir))
		check(t, err)
		open = append(open, c)
	}
	waiting, err := net.Dial("unix", control.SocketPath(s.dir))
	check(t, err)
	open = append(open, waiting)
	_, err = waiting.Write([]byte("GET /v1/health HTTP/1.0\r\n\r\n"))
	check(t, err)
	check(t, waiting.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
	if n, err := waiting.Read(make([]byte, 1)); !isTimeout(err) {
		t.Fatalf("the 65th connection got %d bytes (%v)", n, err)
	}
	check(t, open[0].Close())
	check(t, waiting.SetReadDeadline(time.Now().Add(10*time.Second)))
	if _, err := waiting.Read(make([]byte, 1)); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// FuzzRequest sends any bytes: every answer is HTTP, every refusal has a next step, nothing hangs or ends the host.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n", "GET /v1/machines/pump HTTP/1.0\r\n\r\n",
		"GET /v1/machines/%zz HTTP/1.1\r\nHost: x\r\n\r\n", "GET /v1/machines/pump/history HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\n\r\n",
		"HEAD /v1/machines HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "\x00\r\n\r\n",
		post(firePath, `{"event":"go","payload":{"a":[1,2.5,"<",null]}}`), post(firePath, `{"event":"\u0000"}`), post(firePath, `{"Event":"x","event":1e999}`),
		"POST " + firePath + " HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
	} {
		f.Add(seed)
	}
	s := serve(f, pump)
	f.Fuzz(func(t *testing.T, request string) {
		parse(t, request, s.send(t, request))
		if _, err := s.client.Machine(t.Context(), "pump"); err != nil {
			t.Fatalf("after %q: %v", request, err)
		}
	})
}

// FuzzFire sends any body: what is no request is refused, what is one is recorded.
func FuzzFire(f *testing.F) {
	for _, seed := range []string{`{"event":"go"}`, `{"event":"go","payload":{"count":18446744073709551616}}`, `{"event":"\ud800"}`, `[]`, `{"event":"go","payload":{"a":{"a":{}}}} x`, ``} {
		f.Add(seed)
	}
	s := serve(f, pump)
	f.Fuzz(func(t *testing.T, body string) {
		statuses, _ := parse(t, body, s.send(t, post(firePath, body)))
		if len(statuses) == 0 || statuses[0] >= 500 {
			t.Fatalf("%q is answered with %v", body, statuses)
		}
	})
}
