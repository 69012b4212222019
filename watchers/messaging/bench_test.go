package messaging

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/statecraft-io/statecraft/watchers"
)

// brokerProcess makes the test program a broker, so that what connections take can be told from what it takes.
const brokerProcess = "STATECRAFT_TEST_BROKER"

// runBroker says where it listens and ends with its standard input.
func runBroker() int {
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	srv.Start()
	defer srv.Shutdown()
	if !srv.ReadyForConnections(patience) {
		return 1
	}
	fmt.Println(srv.ClientURL())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

func startBrokerProcess(b *testing.B) (url string) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), brokerProcess+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	url, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(url)
}

// BenchmarkConnections says what one of 500 connections takes, alone and with two listeners and a request, as an emulated node has them.
func BenchmarkConnections(b *testing.B) {
	for name, uses := range map[string]int{"alone": 0, "two listeners": 1, "two listeners and a request": 2} {
		b.Run(name, func(b *testing.B) {
			url := startBrokerProcess(b)
			for b.Loop() {
				crowd(b, url, 500, uses)
			}
		})
	}
}

// crowd opens connections and reports what they take.
func crowd(b *testing.B, url string, many, uses int) {
	b.Helper()
	p := NewPool(always(&Credentials{URLs: []string{url}}), slog.New(slog.DiscardHandler))
	defer p.Close()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	prepared := []*watchers.Prepared{
		prepare(b, p, "subscribe", "subject: 'fleet.news.>'"),
		prepare(b, p, "service", "name: inventory\nsubject: 'node.{{ lookup \"token\" }}.in.inventory'\nreply: data.n\nmicro: false"),
	}
	memory, goroutines := usage()
	for i := range many {
		id := fmt.Sprintf("n%d.example", i)
		if err := p.Keep(ctx, id, "fleet"); err != nil {
			b.Fatal(err)
		}
		conn, err := p.Wait(ctx, id, "fleet")
		if err != nil {
			b.Fatal(err)
		}
		if uses > 0 {
			occupy(ctx, id, prepared)
		}
		if uses > 1 {
			if _, err := conn.Request("node."+strings.ReplaceAll(id, ".", "=")+".in.inventory", nil, patience); err != nil {
				b.Fatal(err)
			}
		}
	}
	after, running := usage()
	b.ReportMetric(float64(after-memory)/float64(many)/1024, "KiB/connection")
	b.ReportMetric(float64(running-goroutines)/float64(many), "goroutines/connection")
}

func prepare(b *testing.B, p *Pool, typ, properties string) *watchers.Prepared {
	b.Helper()
	prepared, problems := typeOf(b, Types(p, nil), typ).Prepare(specOf(b, typ, properties))
	if len(problems) > 0 {
		b.Fatal(problems)
	}
	return prepared
}

// usage is what the program takes after what it does not need has been given back.
func usage() (memory int64, goroutines int) {
	for range 5 { // each halves stacks that are mostly empty
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse), runtime.NumGoroutine()
}

// occupy has an identity listen as a node does, and waits until it does.
func occupy(ctx context.Context, id string, prepared []*watchers.Prepared) {
	ready := make(chan string, len(prepared))
	for _, w := range prepared {
		look := newLook()
		look.Identity = id
		go w.New().(watchers.Listener).Listen(ctx, look, func(r watchers.Report) {
			if r.Outcome == outcomeListening {
				ready <- r.Outcome
			}
		})
	}
	for range prepared {
		<-ready
	}
}

// BenchmarkRequest is a request watcher that asks a service watcher, over two connections and a broker in another process.
func BenchmarkRequest(b *testing.B) {
	for _, kind := range []string{"micro: true", "micro: false"} {
		b.Run(kind, func(b *testing.B) {
			url := startBrokerProcess(b)
			p := NewPool(always(&Credentials{URLs: []string{url}}), slog.New(slog.DiscardHandler))
			b.Cleanup(p.Close)
			keep(b, p, "fleet")
			keep(b, p, "other")
			listening(b, p, nil, "service", kind+"\nconnection: other\nname: adder\nsubject: add\nreply: message.body + 1")
			w := newWatcher(b, p, nil, "request", "subject: add\nbody: data.n\naccept: message.body == 8").(watchers.Checker)
			look := newLook()
			b.ReportAllocs()
			for b.Loop() {
				if r := w.Check(b.Context(), look); r.Outcome != "success" {
					b.Fatalf("%+v", r)
				}
			}
		})
	}
}
