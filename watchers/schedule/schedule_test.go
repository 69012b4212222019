package schedule

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/statecraft-io/statecraft/machine"
	"github.com/statecraft-io/statecraft/machine/strict"
)

func TestProperties(t *testing.T) {
	tests := []struct {
		properties string
		want       []string
	}{
		{"schedules: ['0 8 * * *']", nil},
		{"schedules: ['@daily', 'TZ=Asia/Kathmandu 0 8 * * *']\nduration: 2h\nstart_splay: 1h\ntimezone: ''\ncatch_up: once", nil},
		{"duration: 1h", []string{`m.yaml:1:1: SC021 the key "schedules" is missing`}},
		{"schedules: []", []string{`m.yaml:1:12: SC251 schedules: there is none`}},
		{"schedules: ['0 8 * *']", []string{`m.yaml:1:13: SC251 schedules: "0 8 * *" cannot be read: expected exactly 5 fields, found 4: [0 8 * *]`}},
		{"schedules: ['0 8 * * *', '0 0 30 2 *']", []string{`m.yaml:1:26: SC252 schedules: "0 0 30 2 *" never comes`}},
		{"schedules: ['@daily']\nduration: 1m\nstart_splay: 31s", []string{`m.yaml:3:14: SC253 start_splay: 31s is longer than half of the duration`}},
		{"schedules: ['@every 1d', '@every 1w', '*/15 */6 * */3 *']\nduration: 1h", nil},
		{"schedules: ['*/45 * * * *', '0 */5 * * *']", []string{
			`m.yaml:1:13: SC260 note: schedules: "*/45 * * * *": a step of 45 does not divide the hour: it comes at minute 0, 45, each hour anew`,
			`m.yaml:1:29: SC260 note: schedules: "0 */5 * * *": a step of 5 does not divide the day: it comes at hour 0, 5, 10, 15, 20, each day anew`,
		}},
		{"schedules: ['TZ=UTC */70 * * * *', '1,2, * * * *']", []string{
			`m.yaml:1:13: SC260 schedules: "TZ=UTC */70 * * * *": a step of 70 is not shorter than the hour, which has 60: it comes at its first minute only`,
			`m.yaml:1:36: SC260 schedules: "1,2, * * * *": "1,2," has a comma with nothing beside it`,
		}},
		{"schedules: ['@daily']\ntimezone: Berlin", []string{`m.yaml:2:11: SC254 timezone: "Berlin" is not known`}},
		{"schedules: ['@daily']\nduration: 500ms", []string{`m.yaml:2:11: SC026 duration: 500ms is below the minimum of 1s`}},
		{"schedules: ['@daily']\ncatch_up: twice", []string{`m.yaml:2:11: SC027 catch_up: "twice" is not one of none, once`}},
		{"schedule: ['@daily']", []string{`m.yaml:1:1: SC020 unknown key "schedule"`, `m.yaml:1:1: SC021 the key "schedules" is missing`}},
	}
	for _, tt := range tests {
		t.Run(tt.properties, func(t *testing.T) {
			n, list := strict.Parse("m.yaml", []byte(tt.properties))
			list = append(list, Type().Check(&machine.WatcherSpec{Properties: n, Strict: true})...)
			var got []string
			for _, d := range list {
				got = append(got, d.String())
				if d.Hint == "" {
					t.Errorf("%s has no hint", d)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}
