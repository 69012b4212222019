// Package manifests carries the machines that come with the program, as their YAML. It holds no code.
package manifests

import "embed"

// Files are all manifests and their scenario tests, below the folder of what they are for.
//
//go:embed node/*.yaml overlay/*.yaml examples/*/*.yaml
var Files embed.FS
