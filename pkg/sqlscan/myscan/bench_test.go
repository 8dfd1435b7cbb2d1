// SPDX-License-Identifier: Apache-2.0

package myscan

import (
	"strings"
	"testing"
)

func benchScan(b *testing.B, text string) {
	p := []byte(text)
	var s Scanner
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		s.Reset(0)
		s.Write(p)
		s.Result()
	}
}

func BenchmarkPointSelect(b *testing.B) { benchScan(b, "SELECT c FROM sbtest1 WHERE id = 12345") }

func BenchmarkQuotedNames(b *testing.B) {
	benchScan(b, "SELECT `users`.`id`, `users`.`name`, `users`.`email`, `users`.`created_at` FROM `users` "+
		"INNER JOIN `posts` ON `posts`.`user_id` = `users`.`id` WHERE `users`.`id` = ? AND `posts`.`state` IN (?, ?) LIMIT 10")
}

func BenchmarkLongInsert(b *testing.B) {
	benchScan(b, "INSERT INTO orders (id, customer, note, price, created) VALUES "+
		strings.Repeat("(12345, 'Jane Doe', 'left at the door, as usual', 19.95, '2026-01-02 03:04:05'), ", 1000)+
		"(1, 'x', 'y', 2, now())")
}

func BenchmarkEscapes(b *testing.B) {
	benchScan(b, "INSERT INTO t VALUES ('"+strings.Repeat(`some text with an escaped \' quote, `, 1000)+"')")
}

func BenchmarkLongQuery(b *testing.B) {
	benchScan(b, strings.Repeat("SELECT o.id, c.name, count(*) AS lines, sum(l.quantity * l.price) AS total\n"+
		"  FROM orders o JOIN customers c ON c.id = o.customer_id LEFT JOIN `lines` l ON l.order_id = o.id\n"+
		" WHERE o.created_at >= now() - interval 30 day AND c.region = 'EMEA' -- last month only\n"+
		" GROUP BY o.id, c.name HAVING sum(l.quantity * l.price) > 100 UNION ALL\n", 200)+"SELECT 1, 'x', 2, 3")
}
