package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/statecraft-io/statecraft/runtime"
)

// The times that a request may take. No peer can hold a connection for longer by being slow.
const (
	readTimeout  = 10 * time.Second
	turnTimeout  = 10 * time.Second // for a machine to take its turn
	writeTimeout = 30 * time.Second // without progress
	idleTimeout  = time.Minute
	closeTimeout = time.Second // for requests to end when the host stops
)

// Server answers on the control socket of a host.
type Server struct {
	host *runtime.Host
	log  *slog.Logger
	mux  *http.ServeMux
	http *http.Server
}

// NewServer makes the server of a host. metrics may be nil.
func NewServer(h *runtime.Host, metrics prometheus.Gatherer, log *slog.Logger) *Server {
	s := &Server{host: h, log: log, mux: http.NewServeMux()}
	s.routes(metrics)
	s.http = &http.Server{
		Handler: http.HandlerFunc(s.serve), ConnContext: withPeer,
		ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: 16 << 10, DisableGeneralOptionsHandler: true,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve answers until ctx ends and returns when every request has ended, at most a second later. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ended := make(chan error, 1)
	go func() { ended <- s.http.Serve(newBounded(l)) }()
	select {
	case err := <-ended:
		return fmt.Errorf("control socket: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if s.http.Shutdown(grace) != nil {
		_ = s.http.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// handler answers a request, or returns why not.
type handler func(w http.ResponseWriter, r *http.Request) error

func (s *Server) routes(metrics prometheus.Gatherer) {
	for pattern, h := range map[string]handler{
		"GET /v1/health":                     s.health,
		"GET /v1/machines":                   s.machines,
		"GET /v1/running":                    s.running,
		"GET /v1/machines/{name}":            s.machine,
		"GET /v1/machines/{name}/definition": s.definition,
		"GET /v1/machines/{name}/history":    s.history,
		"POST /v1/machines/{name}/fire":      s.fire,
		"/":                                  s.unknown,
	} {
		s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := h(w, r); err != nil {
				s.refuse(w, r, err)
			}
		})
	}
	if metrics != nil {
		s.mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	}
}

// serve is around every request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	defer func() {
		p := recover()
		if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(p) // net/http asks for it, and takes it
		}
		if p != nil {
			s.log.Error("request_panicked", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			s.refuse(w, r, refuse(http.StatusInternalServerError, "please report it with the log of the host", "this is a defect of statecraft: %v", p))
		}
	}()
	if refusal := admit(r); refusal != nil {
		s.refuse(w, r, refusal)
		return
	}
	if r.Method == http.MethodConnect || r.URL.Path == "" || r.URL.Path[0] != '/' || path.Clean(r.URL.Path) != r.URL.Path {
		s.refuse(w, r, s.unknown(w, r)) // the mux would answer these by itself
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
	s.mux.ServeHTTP(w, r)
}

// unknown refuses what no route takes.
func (s *Server) unknown(w http.ResponseWriter, r *http.Request) error {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := s.mux.Handler(other); r.Method != method && pattern != "/" && pattern != "" {
			w.Header().Set("Allow", method)
			return refuse(http.StatusMethodNotAllowed, "use "+method, "%.20q is not a method of %.200q", r.Method, r.URL.Path)
		}
	}
	return refuse(http.StatusNotFound, "GET /v1/machines lists the machines; the others are /v1/health, /v1/running, /metrics, and /v1/machines/NAME with nothing, /definition, /history or /fire after it",
		"there is nothing at %.200q", r.URL.Path)
}

// refuse writes an error as its answer.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	e := s.refusal(r, err)
	body, err := json.Marshal(e)
	if err != nil {
		s.log.Error("answer_not_encodable", "error", err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	s.sent(w.Write(append(body, '\n')))
}

// refusal gives an error its status and the next step.
func (s *Server) refusal(r *http.Request, err error) *Error {
	var e *Error
	switch name := r.PathValue("name"); {
	case errors.As(err, &e):
		return e
	case errors.Is(err, runtime.ErrUnknownMachine):
		return s.noMachine(name)
	case errors.Is(err, runtime.ErrBusy):
		return refuse(http.StatusServiceUnavailable, "try again in a moment; statecraft states "+name+" shows what waits", "%v", err)
	case errors.Is(err, runtime.ErrStopped):
		return refuse(http.StatusServiceUnavailable, "start it again with statecraft run", "the host is stopping")
	case errors.Is(err, context.DeadlineExceeded):
		return refuse(http.StatusGatewayTimeout, "an event that was sent stays in the queue; statecraft states "+name+" and the host's log show what holds the machine up",
			"machine %q did not take a turn within %s", name, turnTimeout)
	default:
		return refuse(http.StatusInternalServerError, "the log of the host may say more", "%v", err)
	}
}

// answer writes a result.
func (s *Server) answer(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	s.sent(w.Write(append(body, '\n')))
	return nil
}

// sent notes an answer that its receiver did not wait for, of which nobody else can be told.
func (s *Server) sent(_ int, err error) {
	if err != nil {
		s.log.Debug("answer_not_sent", "error", err)
	}
}
