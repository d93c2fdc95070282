//! Reads COPY data to nowhere and says how fast: `copy_speed URL 'COPY t TO STDOUT'`.

use pgkeep_postgres::{
    connect::{ConnectOptions, Environment},
    wire::Connection,
};
use std::{error::Error, time::Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(url), Some(sql)) = (args.next(), args.next()) else {
        return Err("usage: copy_speed URL 'COPY … TO STDOUT'".into());
    };
    let options = ConnectOptions::resolve(Some(&url), &Environment::new(std::env::vars()))?;
    let mut connection = Connection::open(&options)?;
    let begun = Instant::now();
    let (mut batches, mut ends) = (0_u64, 0_u64);
    let summary = connection.copy_out_batches(&sql, |batch| {
        batches += 1;
        ends += batch.ends.len() as u64;
        Ok(())
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{} rows ({ends} seen), {} bytes in {batches} batches, {seconds:.3} s, {:.0} MB/s",
        summary.rows,
        summary.bytes,
        summary.bytes as f64 / seconds / 1e6
    );
    Ok(())
}
