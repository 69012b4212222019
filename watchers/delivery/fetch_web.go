package delivery

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/statefile"
	"github.com/statecraft-io/statecraft/watchers/supervise"
)

const (
	maxRedirects  = 5
	maxWebHeaders = 64 << 10 // bytes
)

var (
	errRedirects = fmt.Errorf("the source sends us on more than %d times", maxRedirects)
	errElsewhere = errors.New("the source sends us to another host or to plain http; name the place itself as source")
	errSilent    = errors.New("the source is silent")
)

// fetchWeb downloads from an http server. Nothing that it returns shows credentials or the query of the source.
func (a *archive) fetchWeb(ctx context.Context, into *spool, most int64) error {
	w := a.want
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	client, err := a.webClient()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.source.String(), nil)
	if err != nil {
		return errSourceKind
	}
	if w.username != "" {
		request.SetBasicAuth(w.username, w.password)
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("asking %s: %w", a.place(), plainError(ctx, err))
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answers %s", a.place(), statusOf(response))
	case response.ContentLength > most:
		return fmt.Errorf("%s offers %d bytes, %d are allowed: %w", a.place(), response.ContentLength, most, registry.ErrLimit)
	}
	body := &alive{from: response.Body, limit: a.spec.Timeout.Std(), left: most}
	body.bell = time.AfterFunc(body.limit, func() {
		defer supervise.Recover(ctx)
		cancel(fmt.Errorf("%w for %s", errSilent, body.limit))
	})
	defer body.bell.Stop()
	if _, err := io.Copy(io.NewOffsetWriter(into, 0), body); err != nil {
		return fmt.Errorf("downloading from %s: %w", a.place(), plainError(ctx, err))
	}
	return nil
}

// place is the source without what may be secret.
func (a *archive) place() string {
	u := a.want.source
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// statusOf is the status by its number: the words are the server's own.
func statusOf(r *http.Response) string {
	text := http.StatusText(r.StatusCode)
	if r.StatusCode == http.StatusUnauthorized {
		text += "; check username and password"
	}
	return fmt.Sprintf("%d %s", r.StatusCode, text)
}

// plainError takes the address off an error of the client, and says why its context ended.
func plainError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// webClient makes a client of its own, which keeps nothing between downloads.
func (a *archive) webClient() (*http.Client, error) {
	roots, err := rootsWith(a.want.ca)
	if err != nil {
		return nil, err
	}
	wait := a.spec.Timeout.Std()
	return &http.Client{
		CheckRedirect: stayThere,
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: wait}).DialContext,
			TLSHandshakeTimeout:   wait,
			ResponseHeaderTimeout: wait,
			TLSClientConfig: &tls.Config{
				MinVersion: tls.VersionTLS12, RootCAs: roots,
				InsecureSkipVerify: a.spec.Insecure, //nolint:gosec // asked for by its name
			},
			DisableKeepAlives:      true,
			DisableCompression:     true, // the archive is what has the checksum
			MaxResponseHeaderBytes: maxWebHeaders,
		},
	}, nil
}

// stayThere follows redirects within one server only.
func stayThere(next *http.Request, before []*http.Request) error {
	first := before[0].URL
	switch {
	case next.URL.Scheme != first.Scheme || !strings.EqualFold(next.URL.Host, first.Host) || next.URL.User != nil:
		return errElsewhere
	case len(before) > maxRedirects:
		return errRedirects
	}
	return nil
}

// rootsWith is what the system trusts and ca, which is PEM or the path of a file. Nil is what the system trusts.
func rootsWith(ca string) (*x509.CertPool, error) {
	if ca == "" {
		return nil, nil
	}
	text := []byte(ca)
	if filepath.IsAbs(ca) {
		var err error
		if text, err = statefile.Read(ca); err != nil {
			return nil, fmt.Errorf("reading ca: %w", err)
		}
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading what the system trusts: %w", err)
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, errCA
	}
	return roots, nil
}

// alive reads a body that must not be silent for long, nor longer than may be.
type alive struct {
	from  io.Reader
	limit time.Duration
	left  int64
	bell  *time.Timer
}

// Read implements io.Reader.
func (a *alive) Read(p []byte) (int, error) {
	n, err := a.from.Read(p)
	if a.left -= int64(n); a.left < 0 {
		return 0, fmt.Errorf("more than is allowed: %w", registry.ErrLimit)
	}
	if n > 0 {
		a.bell.Reset(a.limit)
	}
	return n, err
}
