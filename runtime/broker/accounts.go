package broker

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/statecraft-io/statecraft/watchers/consumers"
)

// accountConfig is an account as nats-server's configuration has it.
type accountConfig struct {
	JetStream *accountJetStream `json:"jetstream,omitempty"`
	Exports   []accountExport   `json:"exports,omitempty"`
	Imports   []accountImport   `json:"imports,omitempty"`
	Mappings  map[string]string `json:"mappings,omitempty"`
}

// accountJetStream is what an account may have of JetStream. -1 is as much as the server has.
type accountJetStream struct {
	MaxMemory        int64 `json:"max_memory"`
	MaxFile          int64 `json:"max_file"`
	MaxStreams       int   `json:"max_streams"`
	MaxConsumers     int   `json:"max_consumers"`
	MaxAckPending    int   `json:"max_ack_pending"`
	MaxBytesRequired bool  `json:"max_bytes_required"`
}

// accountExport lets one other account hear a subject (stream), or ask it (service).
type accountExport struct {
	Stream   string   `json:"stream,omitempty"`
	Service  string   `json:"service,omitempty"`
	Accounts []string `json:"accounts"`
}

// accountImport takes what another account exports.
type accountImport struct {
	Stream  *accountSubject `json:"stream,omitempty"`
	Service *accountSubject `json:"service,omitempty"`
}

type accountSubject struct {
	Account string `json:"account"`
	Subject string `json:"subject"`
}

// uplinkCopies is how many copies of a stream count against an account's bound in a cluster, which is one of all brokers together.
const uplinkCopies = 3

// accounts sets up the accounts, with all that passes between them.
func (c *Config) accounts(o *server.Options) error {
	var passing []pass
	for _, l := range c.Leafnodes {
		passing = append(passing, l.passes(c.Cell)...)
	}
	return c.setAccounts(o, passing)
}

// setAccounts gives the accounts to nats-server as a configuration, as the limits of an account's JetStream have no other way in.
func (c *Config) setAccounts(o *server.Options, passing []pass) error {
	js := c.Limits.JetStream
	store := js.Uplink
	if c.Cluster != nil {
		store *= uplinkCopies
	}
	all := map[string]*accountConfig{
		AccountSystem:     {},
		AccountEnrollment: {},
		// JetStream's own limits hold for FLEET; an account's would count every copy in the cluster.
		AccountFleet: {JetStream: &accountJetStream{
			MaxMemory: -1, MaxFile: -1, MaxStreams: js.Streams, MaxConsumers: js.Consumers, MaxAckPending: js.AckPending,
		}},
		AccountUplink: {},
	}
	if store > 0 {
		all[AccountUplink].JetStream = &accountJetStream{
			MaxFile: store, MaxStreams: js.Streams, MaxConsumers: js.Consumers, MaxAckPending: js.AckPending, MaxBytesRequired: true,
		}
	}
	all[AccountFleet].Mappings = map[string]string{}
	for _, stream := range consumed {
		from, to := consumers.AckMapping(c.Cell, AccountFleet, stream)
		all[AccountFleet].Mappings[from] = to
	}
	for _, l := range c.Leafnodes {
		all[AccountLeafnode(l.Region)] = &accountConfig{}
	}
	for _, p := range passing {
		p.open(all)
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // nats-server does not read > as \u003e
	err := e.Encode(map[string]any{"system_account": AccountSystem, "accounts": all})
	if err == nil {
		err = o.ProcessConfigString(text.String())
	}
	if err != nil {
		return fmt.Errorf("setting up accounts: %w", err)
	}
	return nil
}

// pass is one subject that passes from one account to another: as a message of the account From, or as a request to it.
type pass struct {
	from, to, subject string
	request           bool
}

// open adds an export and an import for the pass.
func (p pass) open(all map[string]*accountConfig) {
	export, subject := accountExport{Accounts: []string{p.to}}, &accountSubject{Account: p.from, Subject: p.subject}
	taken := accountImport{}
	if p.request {
		export.Service, taken.Service = p.subject, subject
	} else {
		export.Stream, taken.Stream = p.subject, subject
	}
	all[p.from].Exports = append(all[p.from].Exports, export)
	all[p.to].Imports = append(all[p.to].Imports, taken)
}
