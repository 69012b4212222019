package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/alecthomas/kong"
)

// cli is the command line: the flags that every verb takes, and a field a verb.
type cli struct {
	globals

	Demo     demoVerb      `cmd:"" help:"Show the whole system on this machine: an overlay, and nodes that join it."`
	Overlay  overlayVerbs  `cmd:"" help:"Make and run the hosts of a cell."`
	Node     nodeVerbs     `cmd:"" help:"Run the agent of a node."`
	Fleet    fleetVerbs    `cmd:"" help:"See and direct the nodes of a cell."`
	Keys     keysVerbs     `cmd:"" help:"Make and show keys."`
	Token    tokenVerbs    `cmd:"" help:"Issue, inspect and revoke tokens."`
	Publish  publishVerb   `cmd:"" help:"Check, sign and publish machines, for nodes to deploy by themselves."`
	Pack     packVerb      `cmd:"" help:"Make the bundle of a machine, for a web server of your own."`
	Sign     signVerb      `cmd:"" help:"Add signatures to a spec or a trust root that several must sign."`
	Verify   verifyVerb    `cmd:"" help:"Hold a signed spec, or the folder of a deployed machine, against what is trusted."`
	Registry registryVerbs `cmd:"" help:"Show what is published in a cell, and take it back."`
	Emulate  emulateVerb   `cmd:"" help:"Run many nodes in one process, for load and tests."`
	Run      runVerb       `cmd:"" help:"Host machines in the foreground."`
	States   statesVerb    `cmd:"" help:"Show in which states the machines of a host are."`
	Fire     fireVerb      `cmd:"" help:"Fire an event at a machine of a running host."`
	Why      whyVerb       `cmd:"" help:"Show the last records of a machine: what happened and why."`
	Trace    traceVerbs    `cmd:"" help:"Export what was recorded of a machine as a trace, and verify traces and journals."`
	Check    checkVerb     `cmd:"" help:"Check manifests and say everything that is wrong with them."`
	Fmt      fmtVerb       `cmd:"" help:"Make manifests format 2, and their blanks canonical."`
	Test     testVerb      `cmd:"" help:"Run the scenario tests of manifests, in virtual time."`
	Graph    graphVerb     `cmd:"" help:"Draw a machine for Graphviz or Mermaid."`
	Replay   replayVerb    `cmd:"" help:"Decide every record of a trace again and say where the outcome differs."`
	New      newVerb       `cmd:"" help:"Make a directory with a machine that checks, to start from."`
	Explain  explainVerb   `cmd:"" help:"Explain the code of a diagnostic."`
	Watchers watchersVerb  `cmd:"" help:"List the watcher types, or describe one."`
	Docs     docsVerb      `cmd:"" help:"Write the references that are made from the program itself."`
	Version  versionVerb   `cmd:"" help:"Print the version of this program."`
}

// globals are the flags that every verb takes.
type globals struct {
	JSON     bool   `name:"json" help:"Print the result as JSON."`
	LogLevel string `enum:"debug,info,warn,error" default:"warn" help:"Log to standard error from this level on: debug, info, warn or error."`
	NoColor  bool   `help:"Print without colour. The variable NO_COLOR does the same."`
}

// parser is the command line, ready to parse, and whether the help was asked for and has been printed.
type parser struct {
	*kong.Kong
	cli    cli
	helped bool
}

func newParser(stdout, stderr io.Writer) (*parser, error) {
	p := &parser{}
	k, err := kong.New(&p.cli,
		kong.Name("statecraft"),
		kong.Description("Statecraft runs fleets as signed state machines."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { p.helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{NoExpandSubcommands: true}),
	)
	if err != nil {
		return nil, fmt.Errorf("building the command line: %w", err)
	}
	p.Kong = k
	return p, nil
}

// execute parses the arguments and runs the verb that they name.
func execute(inv *invocation, args []string) error {
	p, err := newParser(inv.out, inv.stderr)
	if err != nil {
		return err
	}
	chosen, err := p.Parse(args)
	if p.helped {
		return nil
	}
	if err != nil {
		return usage(helpFor(err), "%w", err)
	}
	inv.apply(p.cli.globals)
	return chosen.Run(inv)
}

// apply takes over what the flags of every verb say.
func (inv *invocation) apply(g globals) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(g.LogLevel)); err != nil {
		level = slog.LevelWarn // cannot be: the flag admits the names of levels only
	}
	inv.level = level
	inv.log = slog.New(slog.NewTextHandler(inv.stderr, logOptions(level)))
	inv.json = g.JSON
	inv.colour = !g.NoColor && os.Getenv("NO_COLOR") == "" && isTerminal(inv.out.w)
}

// helpFor names the help that tells what would have been right.
func helpFor(err error) string {
	command := "statecraft"
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil && parse.Context.Selected() != nil {
		command = parse.Context.Selected().FullPath()
	}
	return fmt.Sprintf("%s --help says what it takes", command)
}
