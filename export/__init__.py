"""The gate: trained networks in, a bundle that the appliance believes out."""
