package main

import (
	"github.com/google/renameio/v2"

	"github.com/statecraft-io/statecraft/registry"
)

// packVerb makes the bundle of a machine, for sites that serve bundles from a web server of their own.
type packVerb struct {
	Channel string `default:"default" placeholder:"NAME" help:"The channel that it is for: overlay takes names of machines of the program, others do not."`
	Source  string `placeholder:"URL" help:"Where nodes will find the bundle, for the entry that is printed."`
	Output  string `required:"" placeholder:"FILE" help:"The bundle to write, a tar.gz."`
	Dir     string `arg:"" help:"The machine's folder."`
}

// Run writes the bundle and prints the entry that a list for publish --spec has of it.
func (v *packVerb) Run(inv *invocation) error {
	checking := *inv
	if !inv.json {
		checking.out = &results{w: inv.stderr} // what is printed is the entry, and nothing else
	}
	packed, err := (&publishVerb{shelfFlags: shelfFlags{Channel: v.Channel}, Paths: []string{v.Dir}}).pack(&checking)
	if err != nil {
		return err
	}
	b, e := packed[0].bundle, packed[0].entry()
	e.Source = v.Source
	if err := e.Validate(); v.Source != "" && err != nil {
		return usage("", "--source: %w", err)
	}
	if err := renameio.WriteFile(v.Output, b.Data, 0o644); err != nil {
		return fail(exitFailed, "", "writing the bundle: %w", err)
	}
	if e.Source == "" {
		inv.notef("put %s on a web server and its URL into source; statecraft publish --spec FILE takes a list of such entries", v.Output)
	}
	return inv.printJSON([]registry.Entry{e})
}
