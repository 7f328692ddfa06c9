"""The mark price: from several feeds, by basis, and under oracle failure and manipulation."""
