"""What the store must withstand when several processes and threads use it: races, kills, forks, threads."""
