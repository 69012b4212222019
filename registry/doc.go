// Package registry decides which machines may run: trust roots, signed specs, and the bundles that they name. It works on bytes and
// files, and knows no transport: whatever way a document came, and whenever it is read again from disk, the same function
// verifies it. It never fetches, publishes or runs anything.
package registry
