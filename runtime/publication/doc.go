// Package publication is where signed specs and bundles are kept in a cell, for who publishes and who looks: the bucket SPECS, whose stream
// republishes every change to the nodes, and the object store BUNDLES. It verifies whatever it reads and whatever it writes; nodes verify
// again and never come here.
package publication
