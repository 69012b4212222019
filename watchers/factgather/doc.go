// Package factgather is the `facts` watcher: it finds out what a host is - operating system, processors,
// memory, disks, network, virtualisation, who the agent runs as - and adds what files, commands and folders
// of the site say. The keys are those of facter's structured facts.
//
// It asks nobody on the network, not even for a name, and never puts what looks like a secret into the
// document.
package factgather
