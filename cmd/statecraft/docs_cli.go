package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// writeCLIReference describes every verb by the command line's own model.
func writeCLIReference(w io.Writer) error {
	p, err := newParser(io.Discard, io.Discard)
	if err != nil {
		return err
	}
	generated(w, "Command line reference")
	fmt.Fprintf(w, "\nConventions and exit codes are in [cli.md](cli.md).\n\n## Flags of every verb\n")
	writeFlags(w, p.Model.Flags)
	for _, verb := range p.Model.Leaves(true) {
		fmt.Fprintf(w, "\n## %s\n\n    %s\n\n%s\n", verb.Path(), strings.TrimSuffix(verb.FullPath()+" [flags]"+positionals(verb), " "), verb.Help)
		if verb.Detail != "" {
			fmt.Fprintf(w, "\n%s\n", verb.Detail)
		}
		writeArguments(w, verb.Positional)
		writeFlags(w, verb.Flags)
	}
	return nil
}

func positionals(verb *kong.Node) string {
	var b strings.Builder
	for _, p := range verb.Positional {
		b.WriteString(" " + p.Summary())
	}
	return b.String()
}

func writeArguments(w io.Writer, args []*kong.Positional) {
	if len(args) == 0 {
		return
	}
	fmt.Fprint(w, "\n| argument | meaning |\n|---|---|\n")
	for _, a := range args {
		fmt.Fprintf(w, "| `%s` | %s |\n", a.Summary(), cell(a.Help))
	}
}

func writeFlags(w io.Writer, flags []*kong.Flag) {
	if len(flags) == 0 {
		return
	}
	fmt.Fprint(w, "\n| flag | default | meaning |\n|---|---|---|\n")
	for _, f := range flags {
		if f.Hidden {
			continue
		}
		standard := ""
		if f.HasDefault {
			standard = "`" + f.Default + "`"
		}
		fmt.Fprintf(w, "| `%s` | %s | %s |\n", cell(flagText(f)), standard, cell(f.Help))
	}
}

func flagText(f *kong.Flag) string {
	text := "--" + f.Name
	if f.Short != 0 {
		text = "-" + string(f.Short) + ", " + text
	}
	switch {
	case f.IsBool():
		return text
	case f.Enum != "":
		return text + "=" + strings.ReplaceAll(f.Enum, ",", "|")
	default:
		return text + "=" + strings.ToUpper(f.FormatPlaceHolder())
	}
}

// cell writes text so that it stays in one cell of a table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(strings.TrimSpace(s))
}
