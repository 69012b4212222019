// Package publication is how a client reads and writes what is kept in a cell: the bucket SPECS of signed specs and trust roots, whose
// stream republishes every change to the nodes, and the object store BUNDLES. It asks services of the cell's hosts, which verify what they are given
// (watchers/delivery). It verifies whatever it reads and whatever it writes itself; nodes verify again and never come here.
package publication
