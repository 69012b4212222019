package policy

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// withheld returns the functions that policies do not have, and why.
func withheld() map[string]string {
	const (
		network = "it uses the network"
		host    = "it reads the host's environment"
		files   = "a schema can refer to files and hosts"
		chance  = "its result differs from look to look"
		costly  = "nothing bounds what it takes"
	)
	return map[string]string{
		"http.send": network, "net.lookup_ip_addr": network, "providers.aws.sign_req": network,
		"opa.runtime":       host,
		"json.match_schema": files, "json.verify_schema": files,
		"rand.intn": chance, "uuid.rfc4122": chance, "io.jwt.encode_sign": chance, "io.jwt.encode_sign_raw": chance,
		"bits.lsh": costly, "graph.reachable_paths": costly, "regex.globs_match": costly,
	}
}

// capabilities are what a policy of a version of Rego may call. time.now_ns is among them: it gives the time of the
// look. An empty AllowNet is no host, nil would be every one.
func capabilities(version ast.RegoVersion) *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion(ast.CapabilitiesRegoVersion(version))
	kept := withheld()
	c.Builtins = slices.DeleteFunc(c.Builtins, func(b *ast.Builtin) bool { return kept[b.Name] != "" })
	c.AllowNet = []string{}
	return c
}

// hintFor is the next step after an error of the library.
func hintFor(message string) string {
	if name, found := strings.CutPrefix(message, "undefined function "); found {
		if why := withheld()[name]; why != "" {
			return name + " is not given to policies, as " + why + "; put what is needed into input"
		}
	}
	return "the text is read as Rego v1, then as v0; opa check names the same errors"
}
