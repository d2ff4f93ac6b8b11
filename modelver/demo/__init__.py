"""What `modelver demo` copies into its repository; modelver's own repository trains with it, too."""
