package registry

import (
	"testing"
)

// TestH77WhoSignsForNodesDoesNotSignForHosts: the machines of hosts have the cell's keys, so that only a role of its own signs for them; and a channel
// that has a role is signed for by nobody else. The keys of several roles do not add up.
func TestH77WhoSignsForNodesDoesNotSignForHosts(t *testing.T) {
	tm := newTeam(t, 2, 2)
	overlay, edge := newKeys(t, 1)[0], newKeys(t, 1)[0]
	list := func(channel string) *Spec {
		s := tm.spec(1, "web")
		s.Channel = channel
		return s
	}
	accept := func(s *Store, channel string, envelope []byte) error {
		w := want(begun)
		w.Channel = channel
		_, _, err := s.Accept(envelope, w)
		return err
	}
	s := tm.store("")
	nodes := sealed(t, list(OverlayChannel), tm.signers...)
	refusedFor(t, accept(s, OverlayChannel, nodes), Unsigned)

	root := tm.root
	for role, key := range map[string]RootChange{
		ChannelRole(OverlayChannel): {Add: public(overlay)}, ChannelRole("edge"): {Add: public(edge)},
	} {
		change := key
		change.Role, change.Issued, change.Expires = role, begun, begun.Add(90*day)
		next, err := root.Next(change)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.AcceptRoot(sealed(t, next, tm.anchor), begun); err != nil {
			t.Fatal(err)
		}
		root = next
	}
	for name, envelope := range map[string][]byte{
		"the keys of nodes":         nodes,
		"the key of another role":   sealed(t, list(OverlayChannel), edge),
		"nodes' with another's":     sealed(t, list(OverlayChannel), tm.signers[0], edge),
		"the root's key":            sealed(t, list(OverlayChannel), tm.anchor),
		"a list of another channel": sealed(t, list("default"), overlay),
	} {
		if err := accept(s, OverlayChannel, envelope); err == nil {
			t.Errorf("signed by %s: it is taken", name)
		} else {
			refusedFor(t, err, Unsigned)
		}
	}
	refusedFor(t, accept(s, "default", sealed(t, list("default"), overlay)), Unsigned)
	refusedFor(t, accept(s, "default", sealed(t, list("default"), tm.signers[0], overlay)), Unsigned)
	refusedFor(t, accept(s, "edge", sealed(t, list("edge"), tm.signers...)), Unsigned)
	for channel, envelope := range map[string][]byte{
		OverlayChannel: sealed(t, list(OverlayChannel), overlay),
		"edge":         sealed(t, list("edge"), edge),
		"default":      sealed(t, list("default"), tm.signers...),
		"other":        sealed(t, list("other"), tm.signers...),
	} {
		if err := accept(s, channel, envelope); err != nil {
			t.Errorf("%s: %v", channel, err)
		}
	}
	if _, err := ReadProposed(nodes, root); err == nil {
		t.Error("who signs for nodes has a bundle of hosts stored")
	}

	gone, err := root.Next(RootChange{Role: ChannelRole(OverlayChannel), Remove: public(overlay), Issued: begun, Expires: begun.Add(90 * day)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.AcceptRoot(sealed(t, gone, tm.anchor), begun); err != nil {
		t.Fatal(err)
	}
	next := list(OverlayChannel)
	next.Serial = 2
	refusedFor(t, accept(s, OverlayChannel, sealed(t, next, overlay)), Unsigned)
}

func TestRolesOfChannels(t *testing.T) {
	for name, ok := range map[string]bool{
		"root": true, "spec": true, "spec.overlay": true, "spec.a-b_1": true, "": false, "spec.": false, "spec.A": false, "spec.a.b": false, "root.overlay": false, "overlay": false,
	} {
		if err := CheckRole(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
	s := newTeam(t, 1, 1).spec(1, "web")
	s.Channel, s.Machines[0].Governor = OverlayChannel, "downloads"
	if s.Validate() == nil {
		t.Error("hosts are to wait for their turn")
	}
}
