package main

// overlayVerbs make and run the hosts of a cell.
type overlayVerbs struct {
	Init   overlayInitVerb   `cmd:"" help:"Make the keys, certificates and configuration of a cell."`
	Rotate overlayRotateVerb `cmd:"" help:"Give a host other keys, as after a theft."`
	Run    overlayRunVerb    `cmd:"" help:"Run a host of a cell: its broker and its machines."`
}
