package broker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	offered = 2000
	// inVain is for how long what lacks a right is watched: with all rights everything has passed within a second.
	inVain = 5 * time.Second
)

// sourcing is a stream on its way to a region: with all rights, or without one.
type sourcing struct {
	lacks string
	r     *region
	taken jetstream.Stream
}

// settle waits until everything has passed where nothing lacks, and then for a while; the others have not got all by then.
func settle(t *testing.T, all []sourcing) {
	t.Helper()
	for _, s := range all {
		if s.lacks != "" {
			continue
		}
		await(t, "all is stored in "+s.r.name, func() bool {
			has, lacks := stored(t, s.taken)
			return has == offered && lacks == 0
		})
	}
	pause(t, inVain)
	for _, s := range all {
		switch has, lacks := stored(t, s.taken); {
		case s.lacks == "" && (has != offered || lacks != 0):
			t.Errorf("%s: %d of %d stored, %d lacking", s.r.name, has, offered, lacks)
		case s.lacks != "" && has >= offered:
			t.Errorf("%s: everything passes without %s", s.r.name, s.lacks)
		case s.lacks != "":
			t.Logf("without %s: %d of %d", s.lacks, has, offered)
		}
	}
}

// A region takes all of a cell's stream by durable sourcing with the rights that docs/overlay.md lists, on both sides. Without any one of them it does not.
func TestH70EachRightOfASourcingRegionIsNeeded(t *testing.T) {
	o := newOverlay(t)
	var all []sourcing
	drop := map[string]string{} // what the cell lets not pass, by region
	for _, side := range []string{"region", "cell"} {
		for _, lacks := range []string{"", "to.", "$JSC.R.", "CONSUMER.RESET", "$JS.FC."} {
			if side == "cell" && lacks == "$JSC.R." { // the answer to what was asked, which is no right there
				continue
			}
			name := fmt.Sprintf("r%d", len(all))
			g := exactly(name, "c1", "OUT_"+name)
			if side == "region" {
				without := func(subject string) bool { return lacks != "" && strings.Contains(subject, lacks) }
				g.publish, g.subscribe = slices.DeleteFunc(g.publish, without), slices.DeleteFunc(g.subscribe, without)
			} else if lacks != "" {
				drop[AccountLeafnode(name)] = lacks
			}
			s := sourcing{r: startRegion(t, name, newForms, g)}
			if lacks != "" {
				s.lacks = lacks + " at the " + side
			}
			all = append(all, s)
		}
	}
	b := o.broker(t, func(c *Config) {
		for _, s := range all {
			c.Leafnodes = append(c.Leafnodes, s.r.leafnode("OUT_"+s.r.name))
		}
		c.options = func(opts *server.Options) {
			var passing []pass
			for _, l := range c.Leafnodes {
				passing = append(passing, l.passes("c1")...)
			}
			passing = slices.DeleteFunc(passing, func(p pass) bool { return drop[p.to] != "" && strings.Contains(p.subject, drop[p.to]) })
			opts.Accounts, opts.SystemAccount = nil, ""
			if err := c.setAccounts(opts, passing); err != nil {
				t.Error(err)
			}
		}
	})
	connectedLeafnodes(t, b)
	js := o.uplink(t, b)
	for i := range all {
		name := all[i].r.name
		offers(t, js, "OUT_"+name, name, "c1", 1, offered)
		all[i].taken = all[i].r.takes("c1", "OUT_"+name)
	}
	settle(t, all)
	for _, s := range all {
		from, err := js.Stream(t.Context(), "OUT_"+s.r.name)
		if err != nil {
			t.Fatal(err)
		}
		if s.lacks == "" && from.CachedInfo().State.Msgs != 0 {
			t.Errorf("%s: %d messages are left at the origin", s.r.name, from.CachedInfo().State.Msgs)
		}
	}
}

// The subjects of sourcing have two forms, by the feature flags of nats-server: rights for one let nothing, or not all, of the other pass. A
// release that has them otherwise fails here.
func TestTheSubjectsOfSourcingHaveTwoForms(t *testing.T) {
	const oldForms = "js_ack_fc_v2: false, js_api_reply_v2: false"
	var all []sourcing
	for _, flags := range []string{newForms, oldForms} {
		for _, rights := range []string{newForms, oldForms} {
			name := fmt.Sprintf("r%d", len(all))
			g := exactly(name, "c1", "OUT_"+name)
			if rights == oldForms {
				g.publish[1], g.subscribe[1] = "$JSC.R.>", "$JS.FC.OUT_"+name+"."+name+".>"
			}
			s := sourcing{r: startRegion(t, name, flags, g)}
			if rights != flags {
				s.lacks = "rights in the form that the flags ask for"
			}
			cell := startPlain(t, "c1", fmt.Sprintf(`
				jetstream {domain: c1, store_dir: %q}
				feature_flags {%s}
				accounts {UPLINK {jetstream: enabled, users: [{user: all, password: all}]}}
				leafnodes {remotes: [{url: %q, account: UPLINK}]}`, t.TempDir(), flags, s.r.leafURL()))
			await(t, "the leafnode", func() bool { return cell.NumLeafNodes() == 1 })
			offers(t, streamOf(t, cell.connect()), "OUT_"+name, name, "c1", 1, offered)
			s.taken = s.r.takes("c1", "OUT_"+name)
			all = append(all, s)
		}
	}
	settle(t, all)
}

// A region takes the stream of a cell of three hosts, each of which is connected to it: every message once, also when the host that leads it goes.
func TestARegionTakesTheStreamOfThreeHosts(t *testing.T) {
	o := newOverlay(t)
	r := startRegion(t, "emea", newForms, exactly("emea", "c1", "OUT"))
	all := o.cluster(t, func(c *Config) { c.Leafnodes, c.Enrollment = []Leafnode{r.leafnode("OUT")}, "" })
	for _, b := range all {
		connectedLeafnodes(t, b)
	}
	js := o.uplink(t, all[0])
	offers(t, js, "OUT", "emea", "c1", 3, offered)
	taken := r.takes("c1", "OUT")
	await(t, "all is stored", func() bool {
		has, lacks := stored(t, taken)
		return has == offered && lacks == 0
	})
	from, err := js.Stream(t.Context(), "OUT")
	if err != nil {
		t.Fatal(err)
	}
	leads := slices.IndexFunc(all, func(b *Broker) bool { return b.cfg.Name == from.CachedInfo().Cluster.Leader })
	all[leads].stop()
	js = o.uplink(t, all[(leads+1)%3])
	for i := range offered {
		await(t, "it is stored although a host is gone", func() bool {
			_, err := js.Publish(t.Context(), "out.OUT.x", fmt.Appendf(nil, "%d", offered+i), jetstream.WithMsgID(fmt.Sprint(i)))
			return err == nil
		})
	}
	await(t, "all of the later ones are stored", func() bool {
		has, _ := stored(t, taken)
		return has >= 2*offered
	})
	pause(t, inVain/2)
	if has, lacks := stored(t, taken); has != 2*offered || lacks != 0 {
		t.Errorf("%d of %d messages are stored, %d lack", has, 2*offered, lacks)
	}
	seen := map[string]bool{}
	for i := range 2 * offered {
		m, err := taken.GetMsg(t.Context(), uint64(i+1))
		if err != nil {
			t.Fatal(err)
		}
		seen[string(m.Data)] = true
	}
	if len(seen) != 2*offered {
		t.Errorf("%d different messages of %d", len(seen), 2*offered)
	}
}

// UPLINK has what its own bound says and no more: a stream must say how many bytes it is to have, and takes nothing of FLEET's.
func TestUplinkHasBoundsOfItsOwn(t *testing.T) {
	o := newOverlay(t)
	none := o.broker(t, func(c *Config) { c.Limits.JetStream.Uplink = 0 })
	if _, err := o.uplink(t, none).CreateStream(brief(t), jetstream.StreamConfig{Name: "A", MaxBytes: 1 << 20}); err == nil {
		t.Error("there is JetStream without any room for it")
	}
	b := o.broker(t, func(c *Config) {
		c.Limits.JetStream.Store, c.Limits.JetStream.Shared, c.Limits.JetStream.Uplink = 64<<20, 64<<20, 32<<20
	})
	fleet := streamOf(t, o.connect(t, b.ClientURL(), o.service(t, RightFleetService)))
	uplink := o.uplink(t, b)
	for name, tt := range map[string]struct {
		js     jetstream.JetStream
		config jetstream.StreamConfig
		want   string
	}{
		"without a bound":    {uplink, jetstream.StreamConfig{}, "max bytes"},
		"in memory":          {uplink, jetstream.StreamConfig{MaxBytes: 1 << 20, Storage: jetstream.MemoryStorage}, "resources"},
		"more than its own":  {uplink, jetstream.StreamConfig{MaxBytes: 33 << 20}, "resources"},
		"all of its own":     {uplink, jetstream.StreamConfig{MaxBytes: 32 << 20}, ""},
		"all that FLEET has": {fleet, jetstream.StreamConfig{MaxBytes: 64 << 20}, ""},
	} {
		tt.config.Name = strings.ReplaceAll(name, " ", "_")
		_, err := tt.js.CreateStream(t.Context(), tt.config)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
