package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/statecraft-io/statecraft/registry"
	"github.com/statecraft-io/statecraft/runtime/overlay"
	"github.com/statecraft-io/statecraft/runtime/publication"
)

// registryVerbs show what is published in a cell, and take it back.
type registryVerbs struct {
	Ls      registryLsVerb      `cmd:"" help:"List the channels of a cell and what they hold."`
	Show    registryShowVerb    `cmd:"" help:"Show what a channel publishes."`
	History registryHistoryVerb `cmd:"" help:"List what was published to a channel."`
	Diff    registryDiffVerb    `cmd:"" help:"Compare two publications of a channel."`
	Retract registryRetractVerb `cmd:"" help:"Take machines back, or go back to an earlier publication, by publishing anew."`
}

// The rights of those who publish, and of those who only look.
const (
	rightPublish = "registry_publish"
	rightView    = "fleet_view"
	rightAdmin   = "admin"
)

// shelfFlags say which cell's registry a verb works with, and which of its channels.
type shelfFlags struct {
	contextFlags
	Channel string `default:"default" placeholder:"NAME" help:"The channel; nodes follow the channel default where nothing else is said."`
}

// open opens the registry for who publishes to a channel that there can be.
func (f shelfFlags) open(inv *invocation) (*shelf, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	return f.contextFlags.open(inv)
}

// look opens the registry for who looks at a channel that there can be.
func (f shelfFlags) look(inv *invocation) (*shelf, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	return f.contextFlags.look(inv)
}

func (f shelfFlags) check() error {
	if err := registry.CheckChannel(f.Channel); err != nil {
		return usage("statecraft registry ls lists the channels", "--channel: %w", err)
	}
	return nil
}

// shelf is a cell's registry, open for one verb. The caller closes it.
type shelf struct {
	*publication.Shelf
	*member
	folder string
	note   func(format string, args ...any)
}

// How long the registry is waited for: an election of a stream's leader takes 4 to 9 s, and more on a busy machine.
const (
	shelfPatience = 30 * time.Second
	shelfPerMiB   = 4 * time.Second
	shelfNote     = 4 * time.Second // until it is said that it is waited for
)

// patience is a context for one thing that the registry is to do. It says what it waits for where that takes long.
func (s *shelf) patience() (context.Context, context.CancelFunc) { return s.patienceFor(0) }

// patienceFor is longer by what it takes to bring so many bytes.
func (s *shelf) patienceFor(size int) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(s.ctx, shelfPatience+time.Duration(size>>20)*shelfPerMiB)
	bell := time.AfterFunc(shelfNote, func() {
		s.note("the cell's streams do not answer: they may have no leader at the moment; it is tried for %s", shelfPatience)
	})
	return ctx, func() { bell.Stop(); cancel() }
}

// open connects to the cell for who publishes, and learns which roots it has had.
func (f contextFlags) open(inv *invocation) (*shelf, error) {
	s, first, err := f.shelf(inv, rightPublish)
	if err != nil {
		return nil, err
	}
	ctx, cancel := s.patience()
	defer cancel()
	if first {
		err = s.putBackRoots(ctx)
	}
	if err != nil {
		err = s.problem("opening the registry of the cell", err) // before the connection is closed, which would be taken for the cause
		s.close()
		return nil, err
	}
	return s, nil
}

// look connects to the cell for who only reads.
func (f contextFlags) look(inv *invocation) (*shelf, error) {
	s, _, err := f.shelf(inv, rightView)
	return s, err
}

// shelf connects to the cell and learns which roots it has had. first is whether the folder has the first one.
func (f contextFlags) shelf(inv *invocation, need string) (s *shelf, first bool, err error) {
	folder, err := f.folder()
	if err != nil {
		return nil, false, err
	}
	m, err := f.connect(inv, need)
	if err != nil {
		return nil, false, err
	}
	switch {
	case m.has(rightPublish): // it opens what those need who look
		m.need = rightPublish
	case need == rightPublish && !m.has(rightAdmin): // before anything is done that comes to nothing
		defer m.close()
		m.refuse(nats.ErrPermissionViolation)
		return nil, false, m.failed("opening the registry of the cell", nil)
	}
	trust, err := overlay.OpenTrust(folder, time.Now()) // after the client's context was found there: it makes folders
	if err != nil {
		m.close()
		return nil, false, fail(exitFailed, rootsHint(err, folder), "opening what %s trusts: %w", folder, err)
	}
	s = &shelf{member: m, folder: folder, note: inv.notef}
	ctx, cancel := s.patience()
	defer cancel()
	if first, err = firstRoot(folder, trust); err == nil {
		s.Shelf, err = publication.Open(ctx, m.Conn, m.serviceSubject, m.claims.Cell, trust, time.Now)
	}
	if err != nil {
		err = s.problem("opening the registry of the cell", err) // before the connection is closed, which would be taken for the cause
		m.close()
		return nil, false, err
	}
	return s, first, nil
}

// firstRoot takes the trust root that came with the cell, and reports whether the folder has it.
func firstRoot(folder string, trust *registry.Store) (there bool, err error) {
	envelope, err := os.ReadFile(filepath.Join(folder, overlay.FirstRootFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, err = trust.AcceptRoot(bytes.TrimSpace(envelope), time.Now())
	return true, err
}

// putBackRoots publishes the trust roots that the cell does not have: the first one of a new cell, and those that it has lost.
func (s *shelf) putBackRoots(ctx context.Context) error {
	versions, err := s.PutBackRoots(ctx)
	for _, version := range versions {
		s.note("the cell's trust root %d was missing or spoiled, and is there again", version)
	}
	return err
}

// problem gives an error of the registry its exit code and the next step.
func (s *shelf) problem(doing string, err error) error {
	var refusal *registry.Refusal
	switch {
	case errors.As(err, &refusal):
		return refused(doing, refusal)
	case errors.Is(err, publication.ErrNoChannel):
		return fail(exitFailed, "statecraft registry ls lists the channels; statecraft publish fills one", "%s: %w", doing, err)
	case errors.Is(err, publication.ErrOvertaken):
		return fail(exitFailed, "run the command again: it starts from what is there now", "%s: %w", doing, err)
	case errors.Is(err, fs.ErrNotExist):
		return fail(exitFailed, rootsHint(err, s.folder), "%s: %w", doing, err)
	case errors.Is(err, publication.ErrTooLarge):
		return fail(exitInvalid, "", "%s: %w", doing, err)
	default:
		return s.failed(doing, err)
	}
}

// rootsHint says where a client gets the file of the cell's root keys, which token issue client --output writes.
func rootsHint(err error, folder string) string {
	if !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return "who publishes and reads the registry needs the cell's root keys: copy operator/" + overlay.AnchorsFile + " of the folder that statecraft overlay init made to " + folder
}

// refused says what to do about a refusal.
func refused(doing string, r *registry.Refusal) error {
	hints := map[registry.Reason]string{
		registry.NoRoot:      "the first trust root is root.json of CELL/operator in the folder that statecraft overlay init made: say --as CELL/operator, or copy it, and roots, to the folder of --as",
		registry.Unsigned:    "statecraft sign adds the signatures of others",
		registry.Unsupported: "a later release wrote it: upgrade this one, whose version statecraft version prints",
		registry.Expired:     "publish again, or renew the trust root with statecraft keys rotate",
	}
	return fail(exitRefused, hints[r.Reason], "%s: %w", doing, r)
}

// current reads what a channel publishes; nil for a channel that is new.
func (s *shelf) current(channel string) (*publication.Published, error) {
	ctx, cancel := s.patience()
	defer cancel()
	p, err := s.Current(ctx, channel)
	if errors.Is(err, publication.ErrNoChannel) {
		return nil, nil
	}
	if err != nil {
		return nil, s.problem("reading the channel "+channel, err)
	}
	return p, nil
}

// base reads what a publication to a channel goes on from, and says where that is not what the channel has; nil for a channel that is new.
func (s *shelf) base(inv *invocation, channel string) (*publication.Published, error) {
	ctx, cancel := s.patience()
	defer cancel()
	p, err := s.Base(ctx, channel)
	switch {
	case errors.Is(err, publication.ErrNoChannel):
		return nil, nil
	case err != nil:
		return nil, s.problem("reading the channel "+channel, err)
	case p.Broken != nil && p.Spec == nil:
		inv.notef("%v; nothing before it is kept: this starts from an empty list", p.Broken)
	case p.Broken != nil:
		inv.notef("%v; this goes on from serial %d, published on %s", p.Broken, p.Spec.Serial, instant(p.Spec.Issued))
	}
	return p, nil
}

// published reads what a channel publishes, which must be something.
func (s *shelf) published(channel string) (*publication.Published, error) {
	p, err := s.current(channel)
	if err == nil && p == nil {
		err = s.problem("reading the channel "+channel, publication.ErrNoChannel)
	}
	return p, err
}

// past reads the history of a channel.
func (s *shelf) past(channel string) ([]publication.Published, error) {
	ctx, cancel := s.patience()
	defer cancel()
	all, err := s.History(ctx, channel)
	if err != nil {
		return nil, s.problem("reading the history of the channel "+channel, err)
	}
	return all, nil
}

// at reads what a channel published under a serial.
func (s *shelf) at(channel string, serial uint64) (*publication.Published, error) {
	all, err := s.past(channel)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if p.Spec != nil && p.Spec.Serial == serial {
			return &p, nil
		}
	}
	return nil, fail(exitFailed, "statecraft registry history lists what is kept", "channel %s has no publication %d that the present trust root vouches for", channel, serial)
}

// expired says until when, and whether that has passed.
func expiry(t time.Time) string {
	if !time.Now().Before(t) {
		return instant(t) + " (expired)"
	}
	return instant(t)
}
