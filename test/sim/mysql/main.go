// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	seed := flag.Uint64("seed", 0, "run this seed only, and tell its story")
	seeds := flag.Int("seeds", 1000, "number of seeds")
	most := flag.Int("most", 5, "failures after which to stop")
	first := flag.Uint64("first", 1, "the first seed")
	flag.Parse()
	if *seed != 0 {
		w := newWorld(*seed, true)
		w.run()
		fmt.Println(w.story())
		fmt.Printf("seed %d: %d commands, %d steps: %q\n", *seed, w.commands, w.steps, w.failure)
		return
	}
	start, commands, failed := time.Now(), 0, 0
	for i := range *seeds {
		w := newWorld(*first+uint64(i), false)
		w.run()
		commands += w.commands
		if w.failure != "" {
			failed++
			fmt.Printf("seed %d: %s\n", *first+uint64(i), w.failure)
			if failed >= *most {
				os.Exit(1)
			}
		}
	}
	fmt.Printf("%d seeds, %d commands, %d failures, %s\n", *seeds, commands, failed, time.Since(start).Round(time.Millisecond))
}
