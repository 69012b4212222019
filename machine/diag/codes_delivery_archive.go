package diag

// archiveEntries documents the codes of the archive watcher.
var archiveEntries = []Entry{
	{
		Code: "SC430", Title: "source of an archive",
		Explanation: "An archive comes from https://HOST/PATH, or from the overlay's object store by object://BUCKET/NAME. Plain http needs insecure: true. A user name and password are properties, not a part of the source.",
		Bad: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: there, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: archive
    success_transition: there
    properties:
      source: ftp://mirror.example/tools.tar.gz
      checksum: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      creates: tools
`,
		Good: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: there, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: archive
    success_transition: there
    properties:
      source: https://mirror.example/tools.tar.gz
      checksum: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      creates: tools
`,
	},
	{
		Code: "SC431", Title: "checksum of an archive",
		Explanation: "checksum and verify_checksum are what sha256sum prints: 64 digits of hex.",
		Bad: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: there, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: archive
    success_transition: there
    properties:
      source: https://mirror.example/tools.tar.gz
      checksum: 098f6bcd4621d373cade4e832627b4f6
      creates: tools
`,
		Good: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: there, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: archive
    success_transition: there
    properties:
      source: https://mirror.example/tools.tar.gz
      checksum: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      creates: tools
`,
	},
	{
		Code: "SC432", Title: "name or path of an archive",
		Explanation: "creates is the name of one folder, target an absolute path, and verify a path below the folder that the archive creates.",
		Bad: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: there, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: archive
    success_transition: there
    properties:
      source: https://mirror.example/tools.tar.gz
      checksum: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      creates: ../tools
`,
		Good: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: there, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: archive
    success_transition: there
    properties:
      source: https://mirror.example/tools.tar.gz
      checksum: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      creates: tools
      target: /opt
`,
	},
	{
		Code: "SC433", Title: "archive properties that do not go together",
		Explanation: "verify needs verify_checksum, and username and password need each other; none of these two, insecure or ca say anything about an object of the overlay.",
		Bad: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: there, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: archive
    success_transition: there
    properties:
      source: https://mirror.example/tools.tar.gz
      checksum: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      creates: tools
      verify: SHA256SUMS
`,
		Good: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: there, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: archive
    success_transition: there
    properties:
      source: https://mirror.example/tools.tar.gz
      checksum: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      creates: tools
      verify: SHA256SUMS
      verify_checksum: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
`,
	},
	{
		Code: "SC434", Title: "interval of an archive",
		Explanation: "An archive is looked at every 10 seconds at the most often. A change of its files is seen at once all the same, and a download that failed is tried again by retry.",
		Bad: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: there, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: archive
    interval: 2s
    success_transition: there
    properties:
      source: https://mirror.example/tools.tar.gz
      checksum: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      creates: tools
`,
		Good: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: there, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: archive
    interval: 1m
    success_transition: there
    properties:
      source: https://mirror.example/tools.tar.gz
      checksum: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      creates: tools
`,
	},
	{
		Code: "SC435", Title: "certificates of an archive's source",
		Explanation: "ca holds certificates as PEM, from -----BEGIN CERTIFICATE----- on, or is the absolute path of a file that does.",
		Bad: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: there, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: archive
    success_transition: there
    properties:
      source: https://mirror.example/tools.tar.gz
      checksum: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      creates: tools
      ca: our-ca.pem
`,
		Good: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: there, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: archive
    success_transition: there
    properties:
      source: https://mirror.example/tools.tar.gz
      checksum: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
      creates: tools
      ca: /etc/pki/our-ca.pem
`,
	},
}
