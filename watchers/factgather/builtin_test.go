package factgather

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// at returns the value below a dotted path of a JSON document.
func at(t *testing.T, document map[string]any, path string) any {
	t.Helper()
	var value any = document
	for name := range strings.SplitSeq(path, ".") {
		object, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = object[name]
	}
	return value
}

func decoded(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var document map[string]any
	if err := json.Unmarshal(raw, &document); err != nil {
		t.Fatalf("the document is no JSON object: %v", err)
	}
	return document
}

func TestGatherDescribesThisHost(t *testing.T) {
	found, err := Gather(t.Context(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(found)
	if err != nil {
		t.Fatal(err)
	}
	document := decoded(t, raw)
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	short, _, _ := strings.Cut(hostname, ".")
	wanted := map[string]any{
		"kernel": "Linux", "networking.hostname": short, "identity.uid": float64(os.Geteuid()),
		"identity.privileged": os.Geteuid() == 0,
	}
	for path, want := range wanted {
		if diff := cmp.Diff(want, at(t, document, path)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	for _, path := range []string{"os.name", "os.family", "os.release.full", "os.release.major", "os.architecture",
		"kernelrelease", "kernelversion", "hardwaremodel", "memory.system.capacity", "networking.fqdn", "virtual",
		"timezone", "system_uptime.uptime"} {
		if text, ok := at(t, document, path).(string); !ok || text == "" {
			t.Errorf("%s is %v, want text", path, at(t, document, path))
		}
	}
	for _, path := range []string{"processors.count", "processors.physicalcount", "memory.system.total_bytes",
		"memory.system.available_bytes", "system_uptime.seconds"} {
		if number, ok := at(t, document, path).(float64); !ok || number <= 0 {
			t.Errorf("%s is %v, want a number above 0", path, at(t, document, path))
		}
	}
	if _, ok := at(t, document, "mountpoints").(map[string]any)["/"]; !ok {
		t.Error("the root is no mount point")
	}
	if _, ok := at(t, document, "networking.interfaces.lo").(map[string]any); !ok {
		t.Error("the loopback interface is missing")
	}
}

// The canonical hash must not move while nothing but time does.
func TestGatherIsStable(t *testing.T) {
	var hashes []string
	for range 2 {
		document, err := Gather(t.Context(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		hash, err := stableHash(document, VolatilePaths())
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, hash)
	}
	if hashes[0] != hashes[1] {
		t.Errorf("two gathers hash to %s and %s", hashes[0], hashes[1])
	}
}

func TestGatherEndsWithItsContext(t *testing.T) {
	ctx, cancel := cancelled(t)
	defer cancel()
	document, err := Gather(ctx, time.Now())
	if err == nil || len(document) > 0 {
		t.Errorf("Gather after the end = %d facts, %v", len(document), err)
	}
}

func TestIdentifyOS(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		want  operatingSystem
	}{
		"debian": {
			map[string]string{"os-release": "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n", "debian_version": "12.5\n"},
			operatingSystem{name: "debian", family: "debian", version: "12.5", codename: "bookworm"},
		},
		"debian testing": {
			map[string]string{"os-release": "ID=debian\nVERSION_CODENAME=trixie\n", "debian_version": "trixie/sid\n"},
			operatingSystem{name: "debian", family: "debian", codename: "trixie"},
		},
		"ubuntu": {
			map[string]string{"os-release": "PRETTY_NAME='Ubuntu 24.04 LTS'\nID=ubuntu\nID_LIKE=debian\nVERSION_ID=24.04\n", "debian_version": "trixie/sid\n"},
			operatingSystem{name: "ubuntu", family: "debian", version: "24.04", description: "Ubuntu 24.04 LTS"},
		},
		"rocky": {
			map[string]string{"os-release": "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n"},
			operatingSystem{name: "rocky", family: "rhel", version: "9.4"},
		},
		"rolling": {
			map[string]string{"os-release": "ID=arch\nBUILD_ID=rolling\n"},
			operatingSystem{name: "arch", family: "arch", version: "rolling"},
		},
		"unrelated": {
			map[string]string{"os-release": "ID=nixos\nVERSION_ID=24.05\n"},
			operatingSystem{name: "nixos", family: "nixos", version: "24.05"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			etc := t.TempDir()
			t.Setenv("HOST_ETC", etc)
			for file, text := range tt.files {
				if err := os.WriteFile(etc+"/"+file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := identifyOS(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(operatingSystem{})); diff != "" {
				t.Errorf("system (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDomainOf(t *testing.T) {
	const hosts = "127.0.0.1 localhost\n10.0.0.1 web1.example.net web1 # web1.wrong.net\n10.0.0.2 alone\n"
	tests := map[string]struct{ name, hosts, resolver, want string }{
		"hosts":            {"web1", hosts, "search other.net\n", "example.net"},
		"search list":      {"alone", hosts, "nameserver 10.0.0.3\nsearch other.net third.net\n", "other.net"},
		"domain":           {"web2", hosts, "domain example.org.\n", "example.org"},
		"nothing":          {"web2", hosts, "nameserver 10.0.0.3\n", ""},
		"search of a root": {"web2", hosts, "search .\n", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := domainOf(tt.name, tt.hosts, tt.resolver); got != tt.want {
				t.Errorf("domain of %s = %q, want %q", tt.name, got, tt.want)
			}
		})
	}
}

func TestDefaultRoute(t *testing.T) {
	const head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
	line := func(iface, destination, metric, mask string) string {
		return strings.Join([]string{iface, destination, "0102A8C0", "0003", "0", "0", metric, mask, "0", "0", "0"}, "\t") + "\n"
	}
	tests := map[string]struct{ routes, want string }{
		"none":          {head, ""},
		"one":           {head + line("eth0", "00000000", "100", "00000000") + line("eth1", "0002A8C0", "0", "00FFFFFF"), "eth0"},
		"lowest metric": {head + line("wlan0", "00000000", "600", "00000000") + line("eth0", "00000000", "100", "00000000"), "eth0"},
		"nonsense":      {head + "eth0\t00000000\n" + line("eth1", "00000000", "x", "00000000"), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := defaultRoute(tt.routes); got != tt.want {
				t.Errorf("default route = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLeadingVersion(t *testing.T) {
	for text, want := range map[string]string{"6.1.0-18-amd64": "6.1.0", "5.14.0": "5.14.0", "4.4.-x": "4.4", "x": ""} {
		if got := leadingVersion(text); got != want {
			t.Errorf("leadingVersion(%q) = %q, want %q", text, got, want)
		}
	}
}

// The whole gatherer has to stay cheap, because it runs on every node every few minutes.
func BenchmarkGather(b *testing.B) {
	for b.Loop() {
		if _, err := Gather(b.Context(), time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAnEntryThatPanicsFailsAlone(t *testing.T) {
	e := panicking("boom")
	facts, err := e.guarded(t.Context(), nil)
	if facts != nil || err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("guarded = %v, %v", facts, err)
	}
}
