package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/statecraft-io/statecraft/runtime"
	"github.com/statecraft-io/statecraft/runtime/clock"
	"github.com/statecraft-io/statecraft/runtime/identity"
	"github.com/statecraft-io/statecraft/runtime/node"
)

// nodeRunVerb runs the agent of a node.
type nodeRunVerb struct {
	stateFlags
	Join     string `placeholder:"FILE" help:"The file that holds the join token, or - for standard input. Kept, so that it is needed once."`
	Identity string `placeholder:"NAME" help:"What this node is called (default: the host name). Kept, so that it is needed once; a node that was assigned to a cell keeps its name."`
	Machines string `placeholder:"DIR" help:"Machines that run beside the built-in ones, or in place of those of the same name: signed folders with --signed-by, others with --allow-unsigned."`
	vouchFlags
	ListenMetrics string `placeholder:"ADDRESS" help:"Serve metrics for Prometheus over HTTP on a loopback address."`
}

// Run runs the agent until it is told to stop.
func (v *nodeRunVerb) Run(inv *invocation) error {
	inv.noteTimezone()
	dir, err := v.dir()
	if err != nil {
		return err
	}
	var vouch runtime.Vouch
	if v.Machines != "" {
		if vouch, err = v.vouch("the machines of "+v.Machines, dir); err != nil {
			return err
		}
	}
	id, err := nodeIdentity(v.Identity, dir)
	if err != nil {
		return err
	}
	real, err := clock.NewReal()
	if err != nil {
		return err
	}
	defer real.Close()
	registry := newRegistry()
	agent, err := node.New(node.Config{
		Identity: id, Dir: dir, Clock: real, Log: inv.log, Metrics: registry, Machines: v.Machines, Vouch: vouch, Facts: firstFacts(inv),
		Version: buildVersion().Version,
	})
	if err != nil {
		return openError(err, dir)
	}
	store, replaced, err := v.store(inv, agent, id)
	if err != nil {
		return errors.Join(err, agent.Host().Close())
	}
	s := &serving{stateDir: filepath.Join(dir, nodeStateDir), host: agent.Host(), registry: registry, metrics: v.ListenMetrics, run: agent.Run}
	s.started = func(ctx context.Context) error {
		err := agent.Add(ctx, id, store)
		if err == nil {
			noteRunning(inv, agent, id, store)
		}
		if err == nil && replaced {
			err = tryAgain(ctx, agent)
		}
		return err
	}
	return s.serve(inv)
}

// noteRunning says once what the node does.
func noteRunning(inv *invocation, agent *node.Agent, id string, store *identity.Store) {
	where := "joins a cell by its join token"
	if a, err := store.Active(); err == nil {
		where = "is of the cell " + a.Cell + ", whose hosts are at " + strings.Join(a.URLs, ", ")
	}
	var names []string
	for _, m := range agent.Host().Machines() {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	inv.notef("node %s %s, and runs the machines %s", id, where, strings.Join(names, ", "))
}

// tryAgain lets a node that was turned away with the join token that it had use another one now. In other states the machine refuses the event, and
// a site's own machine may not have it.
func tryAgain(ctx context.Context, agent *node.Agent) error {
	_, err := agent.Host().Fire(ctx, "enrollment", "try_again", nil, "node run --join")
	if errors.Is(err, runtime.ErrUnknownMachine) {
		return nil
	}
	return err
}

// store opens the node's store, and keeps its name and the join token that was given. Replaced is whether it had another join token.
func (v *nodeRunVerb) store(inv *invocation, agent *node.Agent, id string) (store *identity.Store, replaced bool, err error) {
	store, err = agent.OpenStore()
	if err != nil {
		return nil, false, fail(exitFailed, "check the folder, or choose another with --state", "opening the node's identity: %w", err)
	}
	if err := store.SetName(identity.Identity(id)); err != nil {
		if _, assigned, _ := store.Owner(); !assigned { // an assignment says it as well, also on a disk that nobody can write
			return nil, false, fail(exitFailed, "check the folder, or choose another with --state", "%w", err)
		}
	}
	if v.Join != "" {
		token, err := inv.readToken(v.Join)
		if err != nil {
			return nil, false, err
		}
		had, err := store.JoinToken()
		known := err == nil
		if err := store.SetJoinToken(token); err != nil {
			return nil, false, err
		}
		kept, err := store.JoinToken()
		if err == nil && kept != token {
			inv.notef("the node has been given a newer join token since, which takes the place of the one in %s and is kept", shortened(v.Join))
		}
		return store, known && had != kept, err
	}
	if _, err := store.JoinToken(); errors.Is(err, identity.ErrNothing) {
		if _, err := store.Active(); err != nil {
			return nil, false, usage("--join names the join token that statecraft overlay init has made", "this node belongs to no overlay and has no join token")
		}
	}
	return store, false, nil
}

// readToken returns the join token in a file, or on standard input where - is given.
func (inv *invocation) readToken(given string) (string, error) {
	if err := refuseTokenItself(given); err != nil {
		return "", err
	}
	from, data, err := given, []byte(nil), error(nil)
	if given == "-" {
		from = "standard input"
		data, err = io.ReadAll(io.LimitReader(inv.stdin, maxTokenFile))
	} else {
		if err := identity.CheckRead(given); err != nil && !errors.Is(err, fs.ErrPermission) {
			return "", fmt.Errorf("reading the token in %s: %w", shortened(from), err)
		}
		data, err = inv.readFile(given)
	}
	if err != nil {
		return "", usage("name a file that holds the token, or give - for standard input", "reading the token in %s: %w", shortened(from), reason(err))
	}
	token := strings.TrimSpace(string(data))
	if _, err := identity.Inspect(token); err != nil {
		return "", fail(exitInvalid, "statecraft token inspect says what a token holds", "the token in %s: %w", from, err)
	}
	return token, nil
}

// nodeIdentity is the identity of the node of a folder: what was kept there, or what is given, by default the host name. A node that was
// assigned to a cell keeps its name, as its token is good for no other.
func nodeIdentity(given, dir string) (string, error) {
	kept, assigned, err := node.Owner(dir)
	switch {
	case err == nil && given == "":
		return string(kept), nil
	case err == nil && assigned && given != string(kept):
		return "", usage("leave --identity out, or give another node a folder of its own with --state",
			"the node in %s is %s, as its assignment says, and not %s", dir, kept, given)
	}
	if given == "" {
		name, err := os.Hostname()
		if err != nil {
			return "", fail(exitFailed, "name the node with --identity", "asking for the host name: %w", err)
		}
		given = strings.ToLower(name)
	}
	id, err := identity.Parse(given)
	if err != nil {
		return "", usage("name the node with --identity, in lower case, such as n1.example.net", "%w", err)
	}
	return string(id), nil
}
