package factgather

// StableHash returns the lower-case hex SHA-256 of a document's JSON, keys sorted, without what VolatilePaths names.
func StableHash(document map[string]any) (string, error) {
	return stableHash(document, VolatilePaths())
}

// Cleaned copies a document without what DeniedNames names, and returns the dotted paths that were left out.
func Cleaned(document map[string]any) (map[string]any, []string) {
	d := newDenier(nil)
	return d.object("", document), d.removed
}
