package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/statecraft-io/statecraft/machine/diag"
	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/watchers"
	"github.com/statecraft-io/statecraft/watchers/messaging"
)

// PublicationQuery is a signed list, or a trust root, that is to be published.
type PublicationQuery struct {
	Key string `json:"key" most:"128"` // spec.CHANNEL or root.VERSION
	// Revision is of what is written over, as who asks has read it: 0 where there is nothing, or the mark of a deletion only.
	Revision uint64 `json:"revision"`
	Envelope []byte `json:"envelope" most:"1048576"`
}

// PublicationAnswer says that it is published.
type PublicationAnswer struct {
	Revision uint64 `json:"revision"` // that it has
}

var publicationKey = regexp.MustCompile(`^(spec\.[a-z0-9][a-z0-9_-]{0,63}|root\.[1-9][0-9]{0,17})$`)

// publicationShelf takes lists and trust roots, by the trust of the host that it works for: nothing is stored that its nodes would refuse.
type publicationShelf struct {
	besides
	trusted func() (*registry.Store, string, error) // the trust, and the cell
	who     func(r micro.Request) string
	emit    func(watchers.Report)
	js      jetstream.JetStream
}

func (s *publicationShelf) open(_ context.Context, conn *nats.Conn) (lost <-chan struct{}, err error) {
	s.js, err = jetstream.New(conn)
	return nil, err
}

func (s *publicationShelf) answer(ctx context.Context, r micro.Request) {
	q, ok := readPublicationQuery(r.Data())
	if !ok {
		deny(r, messaging.CodeUnreadable, `ask with {"key": "spec.default", "revision": 0, "envelope": "<base64>"}; key is spec.CHANNEL or root.VERSION`)
		return
	}
	s.besides.answer(ctx, r, func(ctx context.Context) (any, error) {
		once, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		a, err := s.publish(once, q, s.who(r))
		return a, full(ctx, s.js, "KV_"+s.bucket, s.bucket, err)
	})
}

// readPublicationQuery reads a question. Its key becomes part of a subject.
func readPublicationQuery(data []byte) (q PublicationQuery, ok bool) {
	err := watchers.ReadRequest(data, &q)
	return q, err == nil && publicationKey.MatchString(q.Key) && len(q.Envelope) > 0
}

// publication is one that is being decided on.
type publication struct {
	PublicationQuery
	*publicationShelf
	by    string
	trust *registry.Store
	want  registry.Want // without the channel, for a root
	here  Revision      // what the key has now; Revision 0 is nothing
}

// publish stores what the host's trust vouches for, and reports it.
func (s *publicationShelf) publish(ctx context.Context, q PublicationQuery, by string) (*PublicationAnswer, error) {
	p := &publication{PublicationQuery: q, publicationShelf: s, by: by}
	err := p.look(ctx)
	if err != nil {
		return nil, err
	}
	if p.here.Revision > 0 && !p.here.Deleted && bytes.Equal(p.here.Value, q.Envelope) { // as where nobody heard that it was stored
		return &PublicationAnswer{p.here.Revision}, nil
	}
	if err := p.current(); err != nil {
		return nil, err
	}
	kind, name, _ := strings.Cut(q.Key, ".")
	if kind+"." == specKey {
		err = p.spec(ctx, name)
	} else {
		err = p.root(ctx, name)
	}
	if refusal, ok := errors.AsType[*registry.Refusal](err); ok {
		s.emit(watchers.Report{
			Outcome: outcomeRefused, Message: q.Key + " of " + by + " is refused: " + refusal.Detail,
			Payload: map[string]any{"key": q.Key, "reason": string(refusal.Reason), "detail": refusal.Detail, "by": by},
		})
	}
	if err != nil {
		return nil, err
	}
	s.emit(watchers.Report{
		Outcome: outcomePublished, Message: q.Key + " of " + by,
		Payload: map[string]any{"key": q.Key, "revision": int(min(p.here.Revision, 1<<53)), "by": by}, //nolint:gosec // it fits
	})
	return &PublicationAnswer{p.here.Revision}, nil
}

// look learns what the bucket has: roots that the host has not seen, and what lies under the key.
func (p *publication) look(ctx context.Context) error {
	var err error
	p.want.Now = time.Now() //nolint:forbidigo // as nodes do that verify: whether something counts still
	if len(p.Envelope) > MaxPublished {
		return denial{messaging.CodeTooLarge, "the signed document is larger than " + strconv.Itoa(MaxPublished) + " bytes"}
	}
	if p.trust, p.want.Cell, err = p.trusted(); err != nil {
		return err
	}
	if err := learnRoots(ctx, p.js, p.bucket, p.trust, p.want.Now); err != nil {
		return err
	}
	p.here, _, err = lastRevision(ctx, p.js, p.bucket, p.Key)
	return err
}

// learnRoots takes the roots that a bucket has above those that are known. One that is not good ends the chain: whoever has the
// right one puts it in its place.
func learnRoots(ctx context.Context, js jetstream.JetStream, bucket string, trust *registry.Store, now time.Time) error {
	for {
		root, err := trust.Root()
		if err != nil {
			return err
		}
		version := uint64(1)
		if root != nil {
			version = root.Version + 1
		}
		e, found, err := lastRevision(ctx, js, bucket, rootKey+strconv.FormatUint(version, 10))
		if err != nil || !found || e.Deleted {
			return err
		}
		if _, err := trust.AcceptRoot(e.Value, now); err != nil {
			if _, refused := errors.AsType[*registry.Refusal](err); refused {
				return nil
			}
			return err
		}
	}
}

// current refuses to write over something else than who asks has read.
func (p *publication) current() error {
	switch {
	case p.Revision == p.here.Revision, p.Revision == 0 && p.here.Deleted:
		return nil
	case p.Revision > p.here.Revision: // who asks has read a replica that is further
		return denial{messaging.CodeNotReady, "this host does not know of the revision " + strconv.FormatUint(p.Revision, 10) + " yet; ask again"}
	default:
		return errOvertaken
	}
}

// spec stores a list that nodes would accept after those that there were.
func (p *publication) spec(ctx context.Context, channel string) error {
	p.want.Channel = channel
	last, under, err := p.last(ctx)
	if err != nil {
		return err
	}
	root, err := p.trust.RootSince(under)
	if err != nil {
		return err
	}
	if _, err := registry.VerifySpec(p.Envelope, root, p.want, last, under); err != nil {
		return err
	}
	if _, err := p.trust.Check(p.Envelope, p.want); err != nil {
		return err
	}
	if err := p.write(ctx); err != nil {
		return err
	}
	if _, _, err := p.trust.Accept(p.Envelope, p.want); err != nil { // it is published all the same, and the bucket has it
		p.log.Warn("serial_not_kept", "key", p.Key, "error", diag.Brief(err.Error(), diag.MaxBrief))
	}
	return nil
}

// last is the newest list of the key that a root vouches for, and the root's version: what the key has or, where that was deleted or spoiled, the
// newest before it that is kept.
func (p *publication) last(ctx context.Context) (*registry.Spec, uint64, error) {
	if p.here.Revision == 0 {
		return nil, 0, nil
	}
	roots, err := p.trust.Roots()
	if err != nil {
		return nil, 0, err
	}
	spec, under, err := vouched(p.here, roots)
	if err != nil {
		return nil, 0, err
	}
	if spec != nil {
		_, _, _ = p.trust.Accept(p.here.Value, p.want) // what has expired is not remembered, and need not be
		return spec, under, nil
	}
	all, err := revisionsOf(ctx, p.js, p.bucket, p.Key)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range slices.Backward(all) {
		if spec, under, err := vouched(e, roots); spec != nil || err != nil {
			return spec, under, err
		}
	}
	return nil, 0, nil
}

// vouched reads a list by the newest of the roots that vouches for it; nil where none does. A list of a later release is an error: it is good, and
// nothing is written over what cannot be read.
func vouched(e Revision, roots []*registry.Root) (*registry.Spec, uint64, error) {
	if e.Deleted {
		return nil, 0, nil
	}
	for _, root := range roots {
		spec, err := registry.ReadSpec(e.Value, root)
		if err == nil {
			return spec, root.Version, nil
		}
		if registry.IsUnsupported(err) {
			return nil, 0, fmt.Errorf("what the channel has: %w", err)
		}
	}
	return nil, 0, nil
}

// root stores a trust root that follows those before it, or one that is known and that the bucket has lost.
func (p *publication) root(ctx context.Context, text string) error {
	version, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return denial{messaging.CodeUnreadable, "a root's key is root.VERSION"}
	}
	chain := p.trust.Chain()
	at := slices.IndexFunc(chain, func(known []byte) bool { return bytes.Equal(known, p.Envelope) })
	if at < 0 {
		root, err := p.trust.CheckRoot(p.Envelope, p.want.Now)
		if err != nil {
			return err
		}
		at = int(root.Version) - 1 //nolint:gosec // one more than there are roots
	}
	if uint64(at)+1 != version {
		return denial{messaging.CodeUnreadable, "the root's version is " + strconv.Itoa(at+1)}
	}
	if p.here.Revision > 0 && !p.here.Deleted && p.trust.Follows(chain[:at], p.here.Value, p.want.Now) {
		return denial{messaging.CodeConflict, "the cell has another root of this version"}
	}
	if err := p.write(ctx); err != nil {
		return err
	}
	_, err = p.trust.AcceptRoot(p.Envelope, p.want.Now)
	return err
}

// write stores the envelope over what is there.
func (p *publication) write(ctx context.Context) error {
	kv, err := p.js.KeyValue(ctx, p.bucket)
	if err != nil {
		return err
	}
	revision, err := kv.Update(ctx, p.Key, p.Envelope, p.here.Revision)
	if err == nil {
		p.here.Revision = revision
	}
	return err
}
