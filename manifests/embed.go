// Package manifests carries the machines that come with the program, as YAML, with their policies in Rego. It holds no code.
package manifests

import "embed"

// Files are all manifests and policies with their tests, below the folder of what they are for.
//
//go:embed node/*.yaml overlay/*.yaml overlay/*.rego examples/*/*.yaml
var Files embed.FS
