module gatehouse/bench

go 1.26.0

replace gatehouse => ../
