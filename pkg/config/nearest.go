// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
)

// nearest is the known word that differs least from the one given, or "" when none is near. The distance is Levenshtein's
// over bytes, letter case and the kind of hyphen left aside; a word that is the beginning of a known one is near too.
func nearest(word string, known []string) string {
	const longest = 64
	if len(word) > longest {
		return ""
	}
	fold := strings.NewReplacer("-", "_", ".", "_")
	word = fold.Replace(strings.ToLower(word))
	best, bestDistance := "", max(len(word)/3, 2)+1
	for _, k := range known {
		folded := fold.Replace(strings.ToLower(k))
		d := distance(word, folded)
		if strings.HasPrefix(folded, word+"_") {
			d = 1
		}
		if d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// suggest is the advice that goes with an unknown word.
func suggest(word string, known []string) string {
	if n := nearest(word, known); n != "" {
		return fmt.Sprintf("did you mean %s?", n)
	}
	return "use one of " + strings.Join(known, ", ")
}
