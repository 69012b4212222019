package factgather

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
)

// VolatilePaths returns the facts that change without the host becoming another one: dotted paths, in
// which * is one whole name. They and what lies below them are left out of the canonical hash. Facts that a
// source puts under a key are held against the list below that key as well.
func VolatilePaths() []string {
	return []string{
		"load_averages",
		"system_uptime",
		"memory.*.available", "memory.*.available_bytes",
		"memory.*.used", "memory.*.used_bytes",
		"memory.*.capacity",
		"mountpoints.*.available", "mountpoints.*.available_bytes",
		"mountpoints.*.used", "mountpoints.*.used_bytes",
		"mountpoints.*.capacity",
		"statecraft.sources",
	}
}

// volatileBelow returns the volatile paths of a document whose sources merge under keys.
func volatileBelow(keys []string) []string {
	paths := VolatilePaths()
	for _, key := range keys {
		for _, path := range VolatilePaths() {
			paths = append(paths, key+"."+path)
		}
	}
	return paths
}

// stableHash returns the lower-case hex SHA-256 of the document's JSON, keys sorted, without the volatile paths.
func stableHash(document map[string]any, volatile []string) (string, error) {
	split := make([][]string, len(volatile))
	for i, path := range volatile {
		split[i] = strings.Split(path, ".")
	}
	raw, err := json.Marshal(without(document, split))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}

// without copies an object, leaving out the paths.
func without(object map[string]any, paths [][]string) map[string]any {
	kept := make(map[string]any, len(object))
	for name, value := range object {
		below, drop := descend(paths, name)
		if drop {
			continue
		}
		if child, ok := value.(map[string]any); ok && len(below) > 0 {
			value = without(child, below)
		}
		kept[name] = value
	}
	return kept
}

// descend returns what is left of the paths below name, and whether one of them ends at it.
func descend(paths [][]string, name string) (below [][]string, ends bool) {
	for _, path := range paths {
		switch {
		case path[0] != name && path[0] != "*":
		case len(path) == 1:
			return nil, true
		default:
			below = append(below, path[1:])
		}
	}
	return below, false
}
