// SPDX-License-Identifier: Apache-2.0

package iam

import "strings"

// arnParts is the number of parts of an ARN: arn, partition, service, region, account, and the resource, which may hold
// colons of its own.
const arnParts = 6

// matchARN compares an ARN with a pattern as IAM does. A question mark is one byte, a star is any number. In the parts before
// the resource they do not reach across a colon, but for a star that ends its part: that one may match beyond.
//
// The time is bounded by the product of both lengths, whatever the pattern.
func matchARN(pattern, arn string) bool {
	return match(pattern, arn, resourceAt(pattern), resourceAt(arn))
}

// matchText compares a text with a pattern of question marks and stars that match everything.
func matchText(pattern, text string) bool { return match(pattern, text, 0, 0) }

// resourceAt is where the resource of an ARN begins; its length if there is none.
func resourceAt(arn string) int {
	at := 0
	for range arnParts - 1 {
		i := strings.IndexByte(arn[at:], ':')
		if i < 0 {
			return len(arn)
		}
		at += i + 1
	}
	return at
}

// match goes through the pattern once and keeps the set of places in text that have been reached. In the pattern before
// patternFree and in the text before textFree, a wildcard matches no colon.
func match(pattern, text string, patternFree, textFree int) bool {
	reached := make([]bool, len(text)+1)
	reached[0] = true
	for i := range len(pattern) {
		c := pattern[i]
		last := i+1 == len(pattern) || pattern[i+1] == ':'
		matches := func(at int) bool {
			held := i < patternFree && at < textFree && text[at] == ':'
			switch c {
			case '*':
				return !held || last
			case '?':
				return !held
			}
			return text[at] == c
		}
		if c == '*' {
			for at := range len(text) {
				if reached[at] && matches(at) {
					reached[at+1] = true
				}
			}
			continue
		}
		for at := len(text) - 1; at >= 0; at-- {
			reached[at+1] = reached[at] && matches(at)
		}
		reached[0] = false
	}
	return reached[len(text)]
}
