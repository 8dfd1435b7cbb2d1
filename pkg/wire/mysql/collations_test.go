// SPDX-License-Identifier: Apache-2.0

package mysql

import "testing"

func TestCollations(t *testing.T) {
	for n, want := range map[uint16][2]string{
		0: {}, 1: {"big5_chinese_ci", "big5"}, 8: {"latin1_swedish_ci", "latin1"}, 45: {"utf8mb4_general_ci", "utf8mb4"},
		33: {"utf8mb3_general_ci", "utf8mb3"}, 63: {"binary", "binary"}, 255: {"utf8mb4_0900_ai_ci", "utf8mb4"}, 60000: {},
	} {
		name := CollationName(n)
		if name != want[0] || CharsetOf(name) != want[1] {
			t.Errorf("%d is %q of %q, want %q", n, name, CharsetOf(name), want)
		}
	}
}
