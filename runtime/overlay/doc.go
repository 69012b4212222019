// Package overlay is a host of a cell: an embedded broker and the runtime with the overlay's machines, from one folder. It also
// makes that folder (Init): keys, issuers, certificates and configuration. What the overlay does is in its machines.
//
// # The folders that Init makes
//
//	authority/       the cell's root key, certificate authority and the issuers of join and client tokens: keep it off the hosts
//	hosts/NAME/      all that one host needs: copy it there and run `statecraft overlay run NAME`
//	operator/        a client that may do everything in the cell: key, token, where to connect
//	join.jwt         the first join token
package overlay
